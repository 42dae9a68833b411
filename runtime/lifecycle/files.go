package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"ctr/rootfs"
	"ctr/rootfs/inroot"
	"ctr/runtime/container"
)

// withFiles calls f with the file system of a container, volumes and all, as its program sees it or would see it. One that
// runs is looked at through its first process. Of one that does not, the file system is mounted where only f's thread sees it,
// and nobody starts it meanwhile.
func (in *Installation) withFiles(ctx context.Context, c *container.Container, f func(*inroot.Root) error) error {
	return in.whileRunning(ctx, c, func(pid int) error {
		root, err := inroot.Open("/proc/" + strconv.Itoa(pid) + "/root")
		if err != nil {
			return fmt.Errorf("open files of container %s: %w", c.Name, err)
		}
		defer root.Close()
		// It may have been another process's, which got the PID in between.
		if record, err := c.ReadMonitor(); err != nil || record.Init.PID != pid || !record.Init.Alive() {
			return errEnded
		}
		return f(root)
	}, func() error {
		user, err := openUserNS(c)
		if err != nil {
			return err
		}
		defer user.Close()
		return rootfs.WithPrivateMounts(func() error {
			root, err := in.mountFiles(ctx, c, user)
			if err != nil {
				return err
			}
			defer func() {
				root.Close()
				// The thread's end does it too, but a moment later, when the container may have been started.
				unix.Unmount(filepath.Join(c.RunDir, "rootfs"), unix.MNT_DETACH) //nolint:errcheck // as said
			}()
			return f(root)
		})
	})
}

// withBareFiles calls f with the root file system of a container, open, and nothing that is mounted on it.
func (in *Installation) withBareFiles(ctx context.Context, c *container.Container, f func(*os.File) error) error {
	use := func(root *os.File, err error) error {
		if err != nil {
			return err
		}
		defer root.Close()
		return f(root)
	}
	return in.whileRunning(ctx, c, func(pid int) error {
		root, err := rootfs.OpenBare(pid)
		if record, readErr := c.ReadMonitor(); readErr != nil || record.Init.PID != pid || !record.Init.Alive() {
			if err == nil {
				root.Close()
			}
			return errEnded
		}
		return use(root, err)
	}, func() error {
		if c.Rootfs.Dir != "" {
			return use(os.Open(c.Rootfs.Dir))
		}
		target, err := in.mountPoint(c)
		if err != nil {
			return err
		}
		user, err := openUserNS(c)
		if err != nil {
			return err
		}
		defer user.Close()
		o, err := in.overlay(c, target, user)
		if err != nil {
			return err
		}
		return use(o.Open())
	})
}

// errEnded is returned within whileRunning when the container has ended before anything was done.
var errEnded = errors.New("container has just ended")

// whileRunning calls running with the container's first process if it has one, else stopped, with the container's lock held.
func (in *Installation) whileRunning(ctx context.Context, c *container.Container, running func(pid int) error, stopped func() error) error {
	ctx, cancel := settling(ctx)
	defer cancel()
	p := patient(c)
	for {
		if state := c.State(); state.Running() {
			if err := running(state.PID); !errors.Is(err, errEnded) {
				return err
			}
		}
		lock, err := c.TryLock()
		if err == nil {
			defer lock.Close()
			if err := in.recover(c); err != nil {
				return fmt.Errorf("take over container %s: %w", c.Name, err)
			}
			if state := c.State(); state.Running() { // its monitor was killed
				return running(state.PID)
			}
			defer os.RemoveAll(c.RunDir)
			return stopped()
		}
		if !errors.Is(err, container.ErrBusy) {
			return err
		}
		if record, err := c.ReadMonitor(); err == nil && record.Lingering {
			return stopped() // its monitor only keeps its sandbox
		}
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
}

// mountPoint makes the folder that a stopped container's file system is mounted on.
func (in *Installation) mountPoint(c *container.Container) (string, error) {
	target := filepath.Join(c.RunDir, "rootfs")
	if err := os.MkdirAll(target, 0o700); err != nil {
		return "", fmt.Errorf("mount root file system: %w", err)
	}
	return target, nil
}

// overlay is the root file system of a container, without volumes.
func (in *Installation) overlay(c *container.Container, target string, user *os.File) (rootfs.Overlay, error) {
	lower, err := in.Layers.Stack(c.Rootfs.Layers)
	return rootfs.Overlay{
		Lower: lower, Upper: c.UpperDir(), Work: c.WorkDirPath(), Target: target, ReadOnly: c.Rootfs.ReadOnly, UserNS: user,
	}, err
}

// mountFiles mounts a container's file system with its volumes in the thread's private mount namespace, and opens it. Volumes
// that are not there yet are made, so that `create` and `cp` fill them before the first start.
func (in *Installation) mountFiles(ctx context.Context, c *container.Container, user *os.File) (*inroot.Root, error) {
	target, err := in.mountPoint(c)
	if err != nil {
		return nil, err
	}
	if c.Rootfs.Dir != "" {
		err = bindAt(unix.AT_FDCWD, c.Rootfs.Dir, target, c.Rootfs.ReadOnly, user)
	} else {
		var o rootfs.Overlay
		if o, err = in.overlay(c, target, user); err == nil {
			err = o.Mount()
		}
	}
	if err != nil {
		return nil, err
	}
	root, err := inroot.Open(target)
	if err != nil {
		return nil, err
	}
	for _, mount := range c.Mounts {
		if err := in.mountVolume(ctx, c, root, target, mount, user); err != nil {
			root.Close()
			return nil, fmt.Errorf("mount %q: %w", mount.Target, err)
		}
	}
	return root, nil
}

// mountVolume mounts a volume or a folder of the host where the container has it. What is not there yet is left out, but for
// volumes.
func (in *Installation) mountVolume(ctx context.Context, c *container.Container, root *inroot.Root, target string, mount container.Mount, user *os.File) (err error) {
	source := mount.Source
	switch mount.Type {
	case container.MountTmpfs:
		return nil
	case container.MountVolume:
		var release func()
		if source, release, err = in.VolumeFolder(ctx, target, mount, c.IDs, user); err != nil {
			return err
		}
		defer release()
		uid, gid, _ := c.IDs.Outside(0, 0)
		place, err := root.MkdirAll(mount.Target, 0o755, uid, gid)
		if err != nil {
			return nil // a read-only file system, or no place for a folder: its start says so
		}
		place.Close()
	case container.MountBind:
	}
	place, err := root.Open(mount.Target, unix.O_PATH, 0)
	if err != nil {
		return nil
	}
	defer place.Close()
	err = bindAt(int(place.Fd()), source, "", mount.ReadOnly, user)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	return err
}

// bindAt mounts source on a place that is held open, or has a path, with the IDs of a user namespace if there is one.
func bindAt(dir int, source, target string, readOnly bool, user *os.File) error {
	tree, err := rootfs.CloneIDMapped(unix.AT_FDCWD, source, false, user)
	if err != nil {
		return err
	}
	defer tree.Close()
	m := int(tree.Fd())
	if readOnly {
		if err := unix.MountSetattr(m, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return os.NewSyscallError("mount_setattr", err)
		}
	}
	flags := unix.MOVE_MOUNT_F_EMPTY_PATH
	if target == "" {
		flags |= unix.MOVE_MOUNT_T_EMPTY_PATH
	}
	return os.NewSyscallError("move_mount", unix.MoveMount(m, "", dir, target, flags))
}
