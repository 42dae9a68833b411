package inroot

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ErrMounted is returned when something is mounted below what is to be removed.
var ErrMounted = errors.New("something is mounted there")

// maxDepth is how many folders are held open at once. What lies deeper is moved up first.
const maxDepth = 64

// RemoveAll removes base in an open folder with everything below it, as os.RemoveAll does: nothing there is good. It goes
// from descriptor to descriptor, follows no link, and returns ErrMounted instead of going into anything that is mounted in
// the mount namespace of the calling thread. Its memory and its descriptors do not grow with the depth of the tree.
func RemoveAll(dir *os.File, base string) error {
	top := int(dir.Fd())
	err := unix.Unlinkat(top, base, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if !errors.Is(err, unix.EISDIR) {
		return removeError(base, err)
	}
	d, err := openBelow(top, base)
	if err != nil {
		return removeError(base, err)
	}
	defer d.Close()
	if err := Empty(d); err != nil {
		return err
	}
	return removeError(base, unix.Unlinkat(top, base, unix.AT_REMOVEDIR))
}

// Empty removes everything in an open folder, under the terms of RemoveAll.
func Empty(dir *os.File) error {
	e := emptier{top: int(dir.Fd())}
	for {
		moved := e.moved
		if err := e.empty(dir, 0); err != nil {
			return err
		}
		if e.moved == moved {
			return nil
		}
	}
}

type emptier struct {
	top   int
	moved int // folders that lay too deep and are in the top now
}

func (e *emptier) empty(dir *os.File, depth int) error {
	if _, err := dir.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for {
		entries, err := dir.ReadDir(1024)
		if errors.Is(err, io.EOF) || errors.Is(err, unix.ENOENT) { // empty, or removed by somebody else
			return nil
		}
		if err != nil {
			return fmt.Errorf("remove: %w", err)
		}
		for _, entry := range entries {
			if err := e.remove(dir, entry.Name(), entry.IsDir(), depth); err != nil {
				return err
			}
		}
	}
}

func (e *emptier) remove(dir *os.File, name string, isDir bool, depth int) error {
	fd := int(dir.Fd())
	if !isDir {
		err := unix.Unlinkat(fd, name, 0)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EISDIR) {
			return removeError(name, err)
		}
	}
	if depth >= maxDepth {
		return e.moveUp(fd, name)
	}
	d, err := openBelow(fd, name)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return removeError(name, err)
	}
	err = e.empty(d, depth+1)
	d.Close()
	if err != nil {
		return err
	}
	return removeError(name, unix.Unlinkat(fd, name, unix.AT_REMOVEDIR))
}

// moveUp puts a folder that lies too deep into the top folder, where the next round finds it.
func (e *emptier) moveUp(fd int, name string) error {
	for {
		e.moved++
		err := unix.Renameat2(fd, name, e.top, ".deep-"+strconv.Itoa(e.moved), unix.RENAME_NOREPLACE)
		if !errors.Is(err, unix.EEXIST) {
			return removeError(name, err)
		}
	}
}

// openBelow opens a folder for reading, unless it is a link or something is mounted on it (EXDEV).
func openBelow(fd int, name string) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS,
	}
	for {
		d, err := unix.Openat2(fd, name, &how)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(d), name), nil
	}
}

func removeError(name string, err error) error {
	switch {
	case err == nil, errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.EXDEV), errors.Is(err, unix.EBUSY):
		return fmt.Errorf("remove %q: %w", name, ErrMounted)
	}
	return pathError("remove", name, err)
}
