package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"ctr/internal/idmap"
	"ctr/rootfs/inroot"
)

// initDirs and initFiles are what the engine mounts on, as in Docker's init layer.
var (
	initDirs  = []string{"dev", "dev/pts", "dev/shm", "proc", "sys", "etc"}
	initFiles = []string{"dev/console", "etc/hosts", "etc/hostname", "etc/resolv.conf"}
)

const initLink, initLinkTarget = "etc/mtab", "/proc/mounts"

// PrepareInitLayer makes real folders and files in the upper folder of a container for everything that the engine mounts
// on, and /etc/mtab as a link to /proc/mounts, whatever the image or the container itself put there: a symbolic link in
// such a place would lead a mount astray. Nothing outside of upper is touched, and what is right already stays.
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

// ShiftOwners gives a new upper folder, in which nobody but PrepareInitLayer has made anything, the owners that a container with
// IDs of its own has for them. (What the layers hold is not touched: see Overlay.)
func ShiftOwners(upper string, ids idmap.Map) error {
	return filepath.WalkDir(upper, func(name string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(name, &st)
		}
		uid, gid, ok := ids.Outside(int(st.Uid), int(st.Gid))
		if err == nil && ok {
			err = unix.Lchown(name, uid, gid)
		}
		if err == nil && st.Mode&unix.S_IFMT != unix.S_IFLNK {
			err = unix.Chmod(name, st.Mode&0o7777) // chown(2) clears setgid
		}
		if err != nil {
			return fmt.Errorf("prepare init layer: %q: %w", name, err)
		}
		return nil
	})
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
	for _, layer := range slices.Backward(lower) {
		var st unix.Stat_t
		err := unix.Lstat(path.Join(layer, name), &st) // one component below a folder of ours
		if err != nil {
			continue
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
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
	return nil
}
