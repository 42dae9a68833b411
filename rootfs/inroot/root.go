// Package inroot opens, makes, copies and removes files below a folder whose content nobody trusts: a layer that is being
// unpacked, the root file system of a container, /proc/PID/root.
//
// Every path is resolved by the kernel below an open folder (openat2(2) with RESOLVE_IN_ROOT, Linux 5.6): "..", absolute
// and dangling symbolic links all stay inside, as they would for a process that has the folder as its root, and a link that
// is swapped meanwhile changes nothing about that. What a path ends in is then handled by its parent's descriptor and its
// last component, never by a joined path. The package owns no path and no kernel object.
package inroot

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNotRegular is returned when what should be read is a folder, a device, a FIFO or a socket.
var ErrNotRegular = errors.New("not a regular file")

// ErrTooLarge is returned when a file holds more than the caller wants to read.
var ErrTooLarge = errors.New("file is too large")

const (
	resolve = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS
	// The kernel gives up with EAGAIN when anything on the machine is renamed or mounted while it walks over "..".
	maxRaces = 4096
	// As many symbolic links as the kernel itself follows in one path (path_resolution(7)).
	maxLinks = 40
)

// Root is an open folder that paths are resolved in.
type Root struct {
	f *os.File
}

// Open opens a folder as a root. Links in dir itself are followed as usual: dir is trusted, what is below is not. The caller
// closes the root.
func Open(dir string) (*Root, error) {
	f, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open root: %w", err)
	}
	return &Root{f: f}, nil
}

// FromFile makes a root of an open folder. The root owns the file from then on.
func FromFile(f *os.File) *Root { return &Root{f: f} }

// File returns the open folder; it stays the root's.
func (r *Root) File() *os.File { return r.f }

// Fd returns the file descriptor, valid while the root is open.
func (r *Root) Fd() int { return int(r.f.Fd()) }

// Close closes the root.
func (r *Root) Close() error { return r.f.Close() }

// Open opens what name leads to inside the root. Flags are those of open(2), O_CLOEXEC and O_NOCTTY are added; O_NOFOLLOW
// applies to the last component, links before it are followed inside the root. The caller closes the file.
func (r *Root) Open(name string, flags int, perm uint32) (*os.File, error) {
	how := unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC, Resolve: resolve}
	if flags&unix.O_CREAT != 0 {
		how.Mode = uint64(perm)
	}
	if flags&unix.O_PATH == 0 {
		how.Flags |= unix.O_NOCTTY | unix.O_LARGEFILE
	}
	if name == "" {
		name = "."
	}
	for races := 0; ; races++ {
		fd, err := unix.Openat2(r.Fd(), name, &how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), path.Join(r.f.Name(), path.Join("/", name))), nil
		case (errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR)) && races < maxRaces:
			continue
		case errors.Is(err, unix.ENOSYS):
			return nil, pathError("openat2", name, fmt.Errorf("%w: Linux 5.6 or newer is needed", err))
		}
		return nil, pathError("open", name, err)
	}
}

// OpenDir opens the folder that name leads to inside the root. The caller closes it.
func (r *Root) OpenDir(name string) (*os.File, error) {
	return r.Open(name, unix.O_DIRECTORY, 0)
}

// OpenRegular opens a regular file for reading. It never blocks, and never opens a device or a FIFO, not even for a moment:
// such an open may have effects of its own. It returns ErrNotRegular for them. The caller closes the file.
func (r *Root) OpenRegular(name string) (*os.File, error) {
	p, err := r.Open(name, unix.O_PATH, 0)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(p.Fd()), &st); err != nil {
		return nil, pathError("stat", name, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, pathError("open", name, ErrNotRegular)
	}
	fd, err := unix.Open(FdPath(p), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return os.NewFile(uintptr(fd), p.Name()), nil
}

// ReadFile reads a regular file that holds at most max bytes. It returns ErrNotRegular and ErrTooLarge.
func (r *Root) ReadFile(name string, max int64) ([]byte, error) {
	f, err := r.OpenRegular(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > max {
		return nil, pathError("read", name, ErrTooLarge)
	}
	return data, nil
}

// Parent opens the folder that holds name, and returns it with the last component of name. Links on the way are followed
// inside the root, the last component is not looked at. It returns an error if name is the root itself. The caller closes
// the folder.
func (r *Root) Parent(name string) (dir *os.File, base string, err error) {
	d, base, err := split(name)
	if err != nil {
		return nil, "", err
	}
	dir, err = r.OpenDir(d)
	return dir, base, err
}

// split cuts the last component off.
func split(name string) (dir, base string, err error) {
	name = strings.TrimRight(name, "/")
	dir, base = path.Split(name)
	if base == "" || base == "." || base == ".." {
		return "", "", pathError("open parent of", name, unix.EINVAL)
	}
	return dir, base, nil
}

// FdPath returns a path that leads to exactly this open file, for the system calls that take paths only.
func FdPath(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }

// pathError is an os.PathError whose path is fit for a message: archives hold paths of thousands of bytes.
func pathError(op, name string, err error) error {
	if len(name) > 256 {
		name = name[:128] + "..." + name[len(name)-64:]
	}
	return &os.PathError{Op: op, Path: name, Err: err}
}
