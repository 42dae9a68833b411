package rootfs

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"ctr/rootfs/inroot"
)

// shift puts idmapped mounts in place of the layers. overlayfs takes only what is mounted somewhere (before Linux 6.15), so they
// are mounted below Target, where the overlay then hides them. They end with the thread's mount namespace.
func (d *overlayDirs) shift(o Overlay) error {
	if err := unix.Mount("layers", o.Target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=700"); err != nil {
		return os.NewSyscallError("mount", err)
	}
	stage, err := openOverlayDir(o.Target)
	if err != nil {
		return err
	}
	defer stage.Close()
	for i, layer := range d.lower {
		m, err := CloneIDMapped(int(layer.Fd()), "", false, o.UserNS)
		if err != nil {
			return fmt.Errorf("layer %q: %w", layer.Name(), err)
		}
		name := strconv.Itoa(i)
		err = unix.Mkdirat(int(stage.Fd()), name, 0o700)
		if err == nil {
			err = unix.MoveMount(int(m.Fd()), "", int(stage.Fd()), name, unix.MOVE_MOUNT_F_EMPTY_PATH)
		}
		m.Close()
		if err != nil {
			return os.NewSyscallError("move_mount", err)
		}
		shifted, err := inroot.FromFile(stage).Open(name, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		layer.Close()
		d.lower[i] = shifted
	}
	return nil
}

// CloneIDMapped copies a mount, with those below it if recursive, to one that is mounted nowhere yet and shows the files with the
// IDs of a user namespace; as they are on the host if that is nil. The place is path, seen from an open folder or AT_FDCWD; empty:
// the folder itself. It returns ErrNoIDMap if the kernel or the file system cannot do so.
func CloneIDMapped(dir int, path string, recursive bool, user *os.File) (*os.File, error) {
	flags, attrs := uint(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC), uint(unix.AT_EMPTY_PATH)
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	if recursive {
		flags |= unix.AT_RECURSIVE
		attrs |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(dir, path, flags)
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: path, Err: err}
	}
	m := os.NewFile(uintptr(fd), path)
	if user == nil {
		return m, nil
	}
	err = unix.MountSetattr(fd, "", attrs, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(user.Fd())})
	if err != nil {
		var fs unix.Statfs_t
		_ = unix.Fstatfs(fd, &fs)
		m.Close()
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
			return nil, fmt.Errorf("%w (file system type 0x%x)", ErrNoIDMap, fs.Type)
		}
		return nil, os.NewSyscallError("mount_setattr", err)
	}
	return m, nil
}

// openShifted is Open with IDs of a user namespace.
func (o Overlay) openShifted() (f *os.File, err error) {
	err = WithPrivateMounts(func() error {
		if err := o.Mount(); err != nil {
			return err
		}
		f, err = os.Open(o.Target)
		return err
	})
	return f, err
}
