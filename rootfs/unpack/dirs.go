package unpack

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ctr/rootfs/inroot"
)

// dirTimes are the times that a folder gets at the end, if it is still the one.
type dirTimes struct {
	ino          uint64
	atime, mtime unix.Timespec
}

func (u *unpacker) rememberTimes(d *os.File, name string, atime, mtime unix.Timespec) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(d.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: name, Err: err}
	}
	if _, again := u.dirs[name]; !again {
		if err := u.countName(name); err != nil {
			return err
		}
	}
	u.dirs[name] = dirTimes{ino: st.Ino, atime: atime, mtime: mtime}
	return nil
}

// countName bounds the memory for the names that are kept until the end.
func (u *unpacker) countName(name string) error {
	if u.nameBytes += int64(len(name)); u.nameBytes > u.options.MaxNames {
		return fmt.Errorf("%w: names of folders have more than %d bytes", ErrLimit, u.options.MaxNames)
	}
	return nil
}

func (u *unpacker) setDirTimes() error {
	for name, t := range u.dirs {
		if err := u.setDirTime(name, t); err != nil {
			return fmt.Errorf("set times of %s: %w", shorten(name), err)
		}
	}
	return nil
}

func (u *unpacker) setDirTime(name string, t dirTimes) error {
	parent, base, err := u.root.Parent(name)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil // a later entry replaced a folder on the way
	}
	if err != nil {
		return err
	}
	defer parent.Close()
	var st unix.Stat_t
	if err := unix.Fstatat(int(parent.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil || st.Ino != t.ino {
		return nil // replaced
	}
	return unix.UtimesNanoAt(int(parent.Fd()), base, []unix.Timespec{t.atime, t.mtime}, unix.AT_SYMLINK_NOFOLLOW)
}

// parent opens the folder that an entry is in, and makes it if the archive left it out.
func (u *unpacker) parent(name string) (dir *os.File, base string, err error) {
	i := strings.LastIndexByte(name, '/')
	dir, err = u.root.MkdirAllFunc(name[:i+1], u.impliedDir)
	return dir, name[i+1:], err
}

// impliedDir makes a folder that the archive left out.
func (u *unpacker) impliedDir(parent *os.File, base string, exists bool) error {
	if !exists {
		if err := inroot.Mkdir(parent, base, 0o755); err != nil {
			return err
		}
		return u.inheritAttributes(parent, base)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(int(parent.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "stat", Path: base, Err: err}
	}
	if u.into != nil || !isWhiteout(&st) {
		return fmt.Errorf("%w: %q is no folder", ErrArchive, base)
	}
	return inroot.ReplaceByDir(parent, base, 0o755)
}

// inheritAttributes gives a folder that the archive left out the attributes that it has in the layers below: as the topmost
// one it is what is seen.
func (u *unpacker) inheritAttributes(parent *os.File, base string) error {
	if len(u.options.Lower) == 0 {
		return nil
	}
	name, err := u.nameInRoot(parent, base)
	if err != nil {
		return err
	}
	for _, layer := range slices.Backward(u.options.Lower) {
		st, err := statBelow(layer, name)
		if err != nil {
			continue
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return nil
		}
		d, err := inroot.FromFile(parent).Open(base, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		defer d.Close()
		if err := d.Chown(int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
		if err := unix.Fchmod(int(d.Fd()), st.Mode&0o7777); err != nil {
			return &os.PathError{Op: "chmod", Path: base, Err: err}
		}
		return u.rememberTimes(d, name, st.Atim, st.Mtim)
	}
	return nil
}

// nameInRoot returns where an open folder is; the name that led to it may have had links in it.
func (u *unpacker) nameInRoot(parent *os.File, base string) (string, error) {
	root, err := os.Readlink(inroot.FdPath(u.root.File()))
	if err != nil {
		return "", err
	}
	dir, err := os.Readlink(inroot.FdPath(parent))
	if err != nil {
		return "", err
	}
	return strings.TrimPrefix(strings.TrimPrefix(dir, root)+"/"+base, "/"), nil
}

func statBelow(layer, name string) (st unix.Stat_t, err error) {
	r, err := inroot.Open(layer)
	if err != nil {
		return st, err
	}
	defer r.Close()
	f, err := r.Open(name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return st, err
	}
	defer f.Close()
	return st, unix.Fstat(int(f.Fd()), &st)
}
