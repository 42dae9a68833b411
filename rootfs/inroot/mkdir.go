package inroot

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// MkdirAll makes the folder and whatever is missing on the way to it, as mkdir -p inside the root would, and opens it.
// Symbolic links are followed inside the root even when what they lead to has to be made first. New folders get exactly the
// mode and the owner given; existing ones are left as they are. The caller closes the folder.
func (r *Root) MkdirAll(name string, perm uint32, uid, gid int) (*os.File, error) {
	return r.MkdirAllFunc(name, func(parent *os.File, base string, _ bool) error {
		if err := unix.Mkdirat(int(parent.Fd()), base, perm&0o777); err != nil && !errors.Is(err, unix.EEXIST) {
			return pathError("mkdir", name, err)
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
	// Each round either ends, or makes a component, or follows a link: both are bounded by the length of a path.
	for range unix.PathMax {
		dir, next, err := w.walk(name)
		if err != nil || dir != nil {
			return dir, err
		}
		name = next
	}
	return nil, pathError("mkdir", name, unix.ENAMETOOLONG)
}

type maker struct {
	root  *Root
	mkdir func(parent *os.File, base string, exists bool) error
	links int
}

// walk opens a folder and makes what is missing after the last part of its path that exists. Where that goes on through a
// dangling link or by "..", which are the kernel's to resolve, it returns the path to walk next.
func (w *maker) walk(name string) (dir *os.File, next string, err error) {
	dir, err = w.root.OpenDir(name)
	if err == nil || !isMissing(err) {
		return dir, "", err
	}
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '/' })
	// Not one part after the other: a path may have thousands, and each look-up walks all that come before.
	there := sort.Search(len(parts), func(i int) bool {
		d, err := w.root.OpenDir(strings.Join(parts[:i+1], "/"))
		if err == nil {
			d.Close()
		}
		return err != nil
	})
	if dir, err = w.root.OpenDir(strings.Join(parts[:there], "/")); err != nil {
		return nil, "", err
	}
	for i := there; i < len(parts); i++ {
		if parts[i] == "." {
			continue
		}
		if parts[i] == ".." {
			dir.Close()
			return nil, name, nil // what comes before it exists now
		}
		below, target, err := w.step(dir, parts[i])
		dir.Close()
		if err != nil {
			return nil, "", err
		}
		if below == nil {
			rest := append([]string{target}, parts[i+1:]...)
			if !strings.HasPrefix(target, "/") {
				rest = append(slices.Clone(parts[:i]), rest...)
			}
			return nil, strings.Join(rest, "/"), nil // not path.Join, which resolves ".." by itself
		}
		dir = below
	}
	return dir, "", nil
}

func isMissing(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) }

// step makes a component and opens it, or returns where it leads to if it is a symbolic link.
func (w *maker) step(parent *os.File, base string) (dir *os.File, target string, err error) {
	if target, err = w.component(parent, base); err != nil || target != "" {
		return nil, target, err
	}
	dir, err = FromFile(parent).Open(base, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	return dir, "", err
}

// component makes base in its parent, or returns where it leads to if it is a symbolic link.
func (w *maker) component(parent *os.File, base string) (target string, err error) {
	var st unix.Stat_t
	err = unix.Fstatat(int(parent.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return "", w.mkdir(parent, base, false)
	case err != nil:
		return "", pathError("mkdir", base, err)
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return "", nil // somebody else was faster
	case st.Mode&unix.S_IFMT != unix.S_IFLNK:
		return "", w.mkdir(parent, base, true)
	}
	if w.links++; w.links > maxLinks {
		return "", pathError("mkdir", base, unix.ELOOP)
	}
	return Readlink(parent, base)
}

// Readlink returns what the symbolic link base in an open folder holds.
func Readlink(dir *os.File, base string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(dir.Fd()), base, buf)
	if err != nil {
		return "", fmt.Errorf("read link: %w", pathError("readlink", base, err))
	}
	return string(buf[:n]), nil
}
