package inroot

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// MkdirAll makes the folder and whatever is missing on the way to it, as mkdir -p inside the root would, and opens it.
// Symbolic links are followed inside the root even when what they lead to has to be made first. New folders get exactly the
// mode and the owner given; existing ones are left as they are. The caller closes the folder.
func (r *Root) MkdirAll(name string, perm uint32, uid, gid int) (*os.File, error) {
	return r.MkdirAllFunc(name, func(parent *os.File, base string, _ bool) error {
		if err := unix.Mkdirat(int(parent.Fd()), base, perm&0o777); err != nil && !errors.Is(err, unix.EEXIST) {
			return &os.PathError{Op: "mkdir", Path: name, Err: err}
		}
		d, err := FromFile(parent).Open(base, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		defer d.Close()
		if err := d.Chown(uid, gid); err != nil {
			return err
		}
		return unix.Fchmod(int(d.Fd()), perm)
	})
}

// MkdirAllFunc is MkdirAll for callers that make folders their own way: mkdir is called with each folder that is missing,
// its parent first, and must make it. It is called with exists set if base is there but is neither a folder nor a symbolic
// link, and must then either replace it or return an error.
func (r *Root) MkdirAllFunc(name string, mkdir func(parent *os.File, base string, exists bool) error) (*os.File, error) {
	w := maker{root: r, mkdir: mkdir}
	return w.open(name)
}

type maker struct {
	root  *Root
	mkdir func(parent *os.File, base string, exists bool) error
	links int
	depth int
}

// open opens a folder, and makes what is missing: the path before its last component by calling itself, then the component.
func (w *maker) open(name string) (*os.File, error) {
	d, err := w.root.OpenDir(name)
	if err == nil || !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
		return d, err
	}
	if w.depth++; w.depth > unix.PathMax {
		return nil, &os.PathError{Op: "mkdir", Path: name, Err: unix.ENAMETOOLONG}
	}
	dir, base := path.Split(strings.TrimRight(name, "/"))
	if base == "" {
		return nil, err // the root itself is gone
	}
	parent, err := w.open(dir)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	if base == "." || base == ".." {
		return w.root.OpenDir(name) // what comes before it exists now
	}
	next, err := w.component(parent, dir, base)
	if err != nil {
		return nil, err
	}
	return w.open(next)
}

// component makes base in its parent, or returns where it leads to if it is a symbolic link.
func (w *maker) component(parent *os.File, dir, base string) (next string, err error) {
	var st unix.Stat_t
	err = unix.Fstatat(int(parent.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return dir + base, w.mkdir(parent, base, false)
	case err != nil:
		return "", &os.PathError{Op: "mkdir", Path: dir + base, Err: err}
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return dir + base, nil // somebody else was faster
	case st.Mode&unix.S_IFMT != unix.S_IFLNK:
		return dir + base, w.mkdir(parent, base, true)
	}
	if w.links++; w.links > maxLinks {
		return "", &os.PathError{Op: "mkdir", Path: dir + base, Err: unix.ELOOP}
	}
	target, err := Readlink(parent, base)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(target, "/") {
		return target, nil
	}
	return dir + target, nil // not path.Join: ".." after a link is the kernel's to resolve
}

// Readlink returns what the symbolic link base in an open folder holds.
func Readlink(dir *os.File, base string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(dir.Fd()), base, buf)
	if err != nil {
		return "", fmt.Errorf("read link: %w", &os.PathError{Op: "readlink", Path: base, Err: err})
	}
	return string(buf[:n]), nil
}
