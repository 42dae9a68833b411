package rootfs

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"ctr/rootfs/inroot"
	"ctr/rootfs/unpack"
)

// ErrArchive is returned when a layer's archive is damaged, or holds what would reach outside of the layer.
var ErrArchive = unpack.ErrArchive

// ErrLimit is returned when a layer holds more than any honest one does.
var ErrLimit = unpack.ErrLimit

// ErrMounted is returned when something is mounted below a folder that is to be removed.
var ErrMounted = inroot.ErrMounted

// ErrNoIDMap is returned when files cannot be shown with the IDs of a user namespace.
var ErrNoIDMap = errors.New("a user namespace needs idmapped mounts, which this kernel does not have for the file system")

// ErrTooManyLayers is returned when the kernel cannot mount so many layers at once.
var ErrTooManyLayers = errors.New("too many layers")

// ErrUser is returned when a container's user or group is malformed, unknown or out of range.
var ErrUser = errors.New("invalid user")

// diskFullError adds which disk is full, and what to do.
type diskFullError struct {
	dir string
	err error
}

func (e *diskFullError) Error() string {
	return fmt.Sprintf("%v: the disk of %q is full", e.err, e.dir)
}

func (e *diskFullError) Unwrap() error { return e.err }

// Hint tells the user what to do.
func (e *diskFullError) Hint() string { return "free some space, or use another data root (--root)" }

// diskFull wraps the error if it says that there is no room left at dir.
func diskFull(dir string, err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return &diskFullError{dir: dir, err: err}
	}
	return err
}
