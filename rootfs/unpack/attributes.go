package unpack

import (
	"archive/tar"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ctr/rootfs/inroot"
)

const (
	paxXattr       = "SCHILY.xattr."
	capabilityName = "security.capability"
)

// attributes gives an open file or folder the owner, mode and extended attributes of the entry, in an order in which none
// takes back what another set: chown(2) clears the setuid bits and the file capabilities.
func attributes(f *os.File, h *tar.Header) error {
	uid, gid, err := owner(h)
	if err != nil {
		return err
	}
	if err := unix.Fchown(int(f.Fd()), uid, gid); err != nil {
		return &os.PathError{Op: "chown", Path: f.Name(), Err: err}
	}
	if err := unix.Fchmod(int(f.Fd()), uint32(h.Mode)&0o7777); err != nil {
		return &os.PathError{Op: "chmod", Path: f.Name(), Err: err}
	}
	return xattrs(h, func(name, value string) error { return unix.Fsetxattr(int(f.Fd()), name, []byte(value), 0) })
}

// attributesAt does so for what cannot be opened without effects: links, devices, FIFOs. It sets the times as well.
func attributesAt(parent *os.File, base string, h *tar.Header) error {
	uid, gid, err := owner(h)
	if err != nil {
		return err
	}
	if err := unix.Fchownat(int(parent.Fd()), base, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "chown", Path: base, Err: err}
	}
	if h.Typeflag != tar.TypeSymlink {
		if err := inroot.Chmod(parent, base, uint32(h.Mode)&0o7777); err != nil {
			return err
		}
	}
	// No system call before Linux 6.13 takes a folder's descriptor here. The last component is not followed.
	at := inroot.FdPath(parent) + "/" + base
	if err := xattrs(h, func(name, value string) error { return unix.Lsetxattr(at, name, []byte(value), 0) }); err != nil {
		return err
	}
	return setTimes(parent, base, h)
}

// owner checks the IDs. 2^32-1 means "leave as it is" to chown(2).
func owner(h *tar.Header) (uid, gid int, err error) {
	if h.Uid < 0 || h.Uid >= math.MaxUint32 || h.Gid < 0 || h.Gid >= math.MaxUint32 {
		return 0, 0, fmt.Errorf("%w: owner %d:%d", ErrArchive, h.Uid, h.Gid)
	}
	return h.Uid, h.Gid, nil
}

// xattrs sets the extended attributes, save those that steer overlayfs itself.
func xattrs(h *tar.Header, set func(name, value string) error) error {
	for _, key := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		name, ok := strings.CutPrefix(key, paxXattr)
		if !ok || strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.") {
			continue
		}
		value := h.PAXRecords[key]
		err := set(name, value)
		switch {
		case err == nil:
		case errors.Is(err, unix.E2BIG), errors.Is(err, unix.ERANGE), errors.Is(err, unix.ENOSPC) && len(value) >= 1024:
			// ext4 says that the disk is full when the attributes of one file have more than a block.
			return fmt.Errorf("%w: attribute %q of %d bytes does not fit this file system: %w", ErrLimit, name, len(value), errors.Unwrap(err))
		case name != capabilityName && (errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EPERM)):
			// A file system without such attributes, or user.* on what is no file: Docker goes on as well.
		default:
			return &os.PathError{Op: "setxattr " + name, Path: shorten(h.Name), Err: err}
		}
	}
	return nil
}

// times returns access and modification time. An archive without access times means the modification time.
func times(h *tar.Header) (atime, mtime unix.Timespec) {
	mtime = timespec(h.ModTime)
	if h.AccessTime.IsZero() {
		return mtime, mtime
	}
	return timespec(h.AccessTime), mtime
}

func timespec(t time.Time) unix.Timespec {
	return unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
}

func setTimes(parent *os.File, base string, h *tar.Header) error {
	atime, mtime := times(h)
	err := unix.UtimesNanoAt(int(parent.Fd()), base, []unix.Timespec{atime, mtime}, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return &os.PathError{Op: "set times", Path: base, Err: err}
	}
	return nil
}
