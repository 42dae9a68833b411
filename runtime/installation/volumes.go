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
// namespace see rootfs.CopyUp.
//
// What is below a volume was written by strangers: a subpath is held open, and its path leads to it only as long as it is.
func (in *Installation) VolumeFolder(ctx context.Context, root string, mount container.Mount, ids idmap.Map, user *os.File) (folder string, held *os.File, err error) {
	_, missing := in.Volumes.Find(mount.Source)
	v, fresh, err := in.Volumes.Ensure(volume.Spec{Name: mount.Source, Anonymous: mount.Anonymous, Labels: mount.VolumeLabels})
	if err != nil {
		return "", nil, err
	}
	if errors.Is(missing, volume.ErrNotFound) {
		in.NotifyOf(events.Volume, "create", v.Name, "driver", "local")
	}
	if mount.Subpath != "" {
		held, err = openSubpath(v, mount.Subpath)
		if err != nil {
			return "", nil, err
		}
		return "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(int(held.Fd())), held, nil
	}
	if fresh && !mount.NoCopy {
		if err := rootfs.CopyUp(ctx, root, mount.Target, v.Path(), ids, user); err != nil {
			return "", nil, err
		}
	}
	return v.Path(), nil, nil
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
