package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"ctr/rootfs/inroot"
)

// initDirs and initFiles are what the engine mounts on, as in Docker's init layer.
var (
	initDirs  = []string{"dev", "dev/pts", "dev/shm", "proc", "sys", "etc"}
	initFiles = []string{"dev/console", "etc/hosts", "etc/hostname", "etc/resolv.conf"}
)

const initLink, initLinkTarget = "etc/mtab", "/proc/mounts"

// initVersion is part of the name of a shared init layer, and changes with what is in it.
const initVersion = "init1"

// Stack returns the folders that a container's overlay has below its upper one, the base first: those of the layers, and on top
// an init layer, which is made if it is missing. Containers share it, for it is the same but for the attributes of /etc: a
// container has no inode of its own for what is only mounted on.
func (l *Layers) Stack(chainIDs []string) ([]string, error) {
	dirs := l.Paths(chainIDs)
	etc := unix.Stat_t{Mode: 0o755}
	if st, ok := topmost("etc", dirs); ok {
		etc = st
	}
	name := fmt.Sprintf("%s-%d-%d-%o", initVersion, etc.Uid, etc.Gid, etc.Mode&0o7777)
	path := filepath.Join(l.dir, name)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := l.makeInitLayer(name, dirs); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, fmt.Errorf("prepare init layer: %w", err)
	}
	return append(dirs, path), nil
}

// makeInitLayer makes a shared init layer, unless somebody else is faster.
func (l *Layers) makeInitLayer(name string, dirs []string) (err error) {
	tmp, err := l.reserve(context.Background(), name)
	if err != nil {
		return fmt.Errorf("prepare init layer: %w", diskFull(l.dir, err))
	}
	defer tmp.Close()
	path := filepath.Join(l.dir, name)
	if _, err := os.Lstat(path); err == nil {
		return l.discard(tmp)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.discard(tmp))
		}
	}()
	// What a killed process left is as good as what is made here.
	if err := PrepareInitLayer(tmp.File().Name(), dirs...); err != nil {
		return err
	}
	if err := unix.Syncfs(tmp.Fd()); err != nil { // see unpack
		return fmt.Errorf("prepare init layer: %w", os.NewSyscallError("syncfs", err))
	}
	if err := os.Rename(tmp.File().Name(), path); err != nil {
		return fmt.Errorf("prepare init layer: %w", err)
	}
	return nil
}

// topmost returns what the topmost of the layers that has a name shows there, if that is a folder.
func topmost(name string, dirs []string) (st unix.Stat_t, ok bool) {
	for _, dir := range slices.Backward(dirs) {
		if unix.Lstat(path.Join(dir, name), &st) == nil { // one component below a folder of ours
			return st, st.Mode&unix.S_IFMT == unix.S_IFDIR
		}
	}
	return st, false
}

// PrepareInitLayer makes real folders and files in a folder for everything that the engine mounts on, and /etc/mtab as a link to
// /proc/mounts, whatever is there: a symbolic link in such a place would lead a mount astray. Nothing outside of the folder is
// touched, and what is right already stays.
//
// The layers of the image, the base first, may be given so that a new /etc has the owner and the mode that the image's has.
func PrepareInitLayer(upper string, lower ...string) error {
	r, err := inroot.Open(upper)
	if err != nil {
		return fmt.Errorf("prepare init layer: %w", err)
	}
	defer r.Close()
	for _, name := range initDirs {
		made, err := realDir(r, name)
		if err == nil && made && name == "etc" {
			err = copyAttributes(r, name, lower)
		}
		if err != nil {
			return fmt.Errorf("prepare init layer: /%s: %w", name, diskFull(upper, err))
		}
	}
	for _, name := range initFiles {
		if err := realFile(r, name); err != nil {
			return fmt.Errorf("prepare init layer: /%s: %w", name, diskFull(upper, err))
		}
	}
	if err := realLink(r, initLink, initLinkTarget); err != nil {
		return fmt.Errorf("prepare init layer: /etc/mtab: %w", diskFull(upper, err))
	}
	return nil
}

// realDir makes a folder unless there is one. Its parent is real already.
func realDir(r *inroot.Root, name string) (made bool, err error) {
	parent, base, err := realParent(r, name)
	if err != nil {
		return false, err
	}
	defer parent.Close()
	fd := int(parent.Fd())
	mode, err := modeOf(fd, base)
	switch {
	case err == nil && mode&unix.S_IFMT == unix.S_IFDIR:
		return false, nil
	case err == nil:
		return true, inroot.ReplaceByDir(parent, base, 0o755)
	case errors.Is(err, unix.ENOENT):
		return true, inroot.Mkdir(parent, base, 0o755)
	}
	return false, err
}

// realFile makes an empty file unless there is one.
func realFile(r *inroot.Root, name string) error {
	parent, base, err := realParent(r, name)
	if err != nil {
		return err
	}
	defer parent.Close()
	mode, err := modeOf(int(parent.Fd()), base)
	if err == nil && mode&unix.S_IFMT == unix.S_IFREG {
		return nil
	}
	if err == nil {
		err = inroot.RemoveAll(parent, base)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	fd, err := unix.Openat(int(parent.Fd()), base, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return os.NewSyscallError("openat", err)
	}
	defer unix.Close(fd)
	// Whatever the umask is, and the setgid bit of the folder.
	if err := unix.Fchown(fd, 0, 0); err != nil {
		return os.NewSyscallError("fchown", err)
	}
	return os.NewSyscallError("fchmod", unix.Fchmod(fd, 0o644))
}

// realLink makes a symbolic link unless there is a right one.
func realLink(r *inroot.Root, name, target string) error {
	parent, base, err := realParent(r, name)
	if err != nil {
		return err
	}
	defer parent.Close()
	if now, err := inroot.Readlink(parent, base); err == nil && now == target {
		return nil
	}
	if err := inroot.RemoveAll(parent, base); err != nil {
		return err
	}
	return os.NewSyscallError("symlinkat", unix.Symlinkat(target, int(parent.Fd()), base))
}

// realParent opens the parent, which is at most one folder below the upper one and no link.
func realParent(r *inroot.Root, name string) (*os.File, string, error) {
	dir, base := path.Split(name)
	parent, err := r.Open(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	return parent, base, err
}

func modeOf(dir int, base string) (uint32, error) {
	var st unix.Stat_t
	err := unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st.Mode, err
}

// copyAttributes gives a folder of the upper one the owner and the mode that the topmost layer has for it: the upper
// folder's are what is seen.
func copyAttributes(r *inroot.Root, name string, lower []string) error {
	st, ok := topmost(name, lower)
	if !ok {
		return nil
	}
	d, err := r.Open(name, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Chown(int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	return os.NewSyscallError("fchmod", unix.Fchmod(int(d.Fd()), st.Mode&0o7777))
}
