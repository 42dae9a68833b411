package installation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"ctr/internal/idmap"
	"ctr/rootfs"
	"ctr/rootfs/inroot"
	"ctr/runtime/container"
	"ctr/runtime/events"
	"ctr/runtime/volume"
)

// VolumeFolder returns the folder of a container's volume, which is made now if it is missing. An empty one takes the content
// that the image has at the place below root, where the container's file system is mounted, as in Docker; for IDs and a user
// namespace see rootfs.CopyUp. A file system of the volume's own is mounted on the folder, in the calling thread's mount namespace,
// which is private.
//
// What is below a volume was written by strangers: a subpath is held open, and its path leads to it only as long as it is. release
// is called when the folder has been mounted in the container, and others can see that the container runs.
func (in *Installation) VolumeFolder(ctx context.Context, root string, mount container.Mount, ids idmap.Map, user *os.File) (folder string, release func(), err error) {
	_, missing := in.Volumes.Find(mount.Source)
	v, fresh, err := in.Volumes.Ensure(volume.Spec{
		Name: mount.Source, Anonymous: mount.Anonymous, Labels: mount.VolumeLabels, Options: mount.VolumeOptions,
	})
	if err != nil {
		return "", nil, err
	}
	if errors.Is(missing, volume.ErrNotFound) {
		in.NotifyOf(events.Volume, "create", v.Name, "driver", "local")
	}
	release = func() {}
	if v.Mounts() {
		if fresh, release, err = in.mountVolume(v); err != nil {
			return "", nil, err
		}
	}
	if mount.Subpath != "" {
		held, err := openSubpath(v, mount.Subpath)
		if err != nil {
			release()
			return "", nil, err
		}
		unlock := release
		release = func() {
			held.Close()
			unlock()
		}
		return "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(int(held.Fd())), release, nil
	}
	if fresh && !mount.NoCopy {
		if err := rootfs.CopyUp(ctx, root, mount.Target, v.Path(), ids, user); err != nil {
			release()
			return "", nil, err
		}
	}
	return v.Path(), release, nil
}

// mountVolume mounts a volume's own file system, or for one in memory that of a container that has it: that is what Docker's
// users share by it. fresh tells that it is empty.
func (in *Installation) mountVolume(v *volume.Volume) (fresh bool, release func(), err error) {
	release = func() {}
	if v.Shared() {
		if release, err = v.Lock(); err != nil {
			return false, nil, err
		}
	}
	if fresh, err = in.mountOrShare(v); err != nil {
		release()
		return false, nil, err
	}
	return fresh, release, nil
}

func (in *Installation) mountOrShare(v *volume.Volume) (fresh bool, err error) {
	if v.Shared() {
		if shared, err := in.shareVolume(v); shared || err != nil {
			return false, err
		}
	}
	if err := v.Mount(); err != nil {
		return false, err
	}
	entries, err := os.ReadDir(v.Path())
	if err != nil {
		return false, fmt.Errorf("open volume %q: %w", v.Name, err)
	}
	return len(entries) == 0, nil
}

// shareVolume mounts what a running container has of the volume.
func (in *Installation) shareVolume(v *volume.Volume) (bool, error) {
	all, _ := in.Containers.List()
	for _, c := range all {
		record, err := c.ReadMonitor()
		if err != nil || !record.Init.Alive() {
			continue
		}
		for _, m := range c.Mounts {
			if m.Type != container.MountVolume || m.Source != v.Name || m.Subpath != "" {
				continue
			}
			tree, err := rootfs.CloneTreeOf(record.Init.PID, m.Target)
			if err != nil {
				return false, fmt.Errorf("share volume %q with container %s: %w", v.Name, c.Name, err)
			}
			defer tree.Close()
			// One that is read-only there is not for that reason so here.
			if m.ReadOnly && !v.ReadOnly() {
				err = unix.MountSetattr(int(tree.Fd()), "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
			}
			if err == nil {
				err = unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, v.Path(), unix.MOVE_MOUNT_F_EMPTY_PATH)
			}
			if err != nil {
				return false, fmt.Errorf("share volume %q with container %s: %w", v.Name, c.Name, err)
			}
			return true, nil
		}
	}
	return false, nil
}

func openSubpath(v *volume.Volume, name string) (*os.File, error) {
	r, err := inroot.Open(v.Path())
	if err != nil {
		return nil, fmt.Errorf("open volume %q: %w", v.Name, err)
	}
	defer r.Close()
	f, err := r.Open(name, unix.O_PATH, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot access path %s of volume %s: no such file or directory", name, v.Name)
	}
	return f, err
}
