package monitor

import (
	"context"

	"ctr/rootfs"
	"ctr/runtime/container"
	"ctr/runtime/volume"
)

// volumeSource returns the folder of a volume, which is made now if it is missing. An empty one takes the content that the
// image has at the place, as in Docker.
func (m *monitor) volumeSource(ctx context.Context, root string, mount container.Mount) (string, error) {
	v, fresh, err := m.in.Volumes.Ensure(volume.Spec{Name: mount.Source, Anonymous: mount.Anonymous})
	if err != nil {
		return "", err
	}
	if fresh && !mount.NoCopy {
		if err := rootfs.CopyUp(ctx, root, mount.Target, v.Path()); err != nil {
			return "", err
		}
	}
	return v.Path(), nil
}
