package installation

import (
	"context"
	"errors"
	"os"

	"ctr/internal/idmap"
	"ctr/rootfs"
	"ctr/runtime/container"
	"ctr/runtime/events"
	"ctr/runtime/volume"
)

// VolumeFolder returns the folder of a container's volume, which is made now if it is missing. An empty one takes the content
// that the image has at the place below root, where the container's file system is mounted, as in Docker; for IDs and a user namespace see CopyUp.
func (in *Installation) VolumeFolder(ctx context.Context, root string, mount container.Mount, ids idmap.Map, user *os.File) (string, error) {
	_, missing := in.Volumes.Find(mount.Source)
	v, fresh, err := in.Volumes.Ensure(volume.Spec{Name: mount.Source, Anonymous: mount.Anonymous})
	if err != nil {
		return "", err
	}
	if errors.Is(missing, volume.ErrNotFound) {
		in.NotifyOf(events.Volume, "create", v.Name, "driver", "local")
	}
	if fresh && !mount.NoCopy {
		if err := rootfs.CopyUp(ctx, root, mount.Target, v.Path(), ids, user); err != nil {
			return "", err
		}
	}
	return v.Path(), nil
}
