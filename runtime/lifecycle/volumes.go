package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"ctr/internal/durable"
	"ctr/rootfs/inroot"
	"ctr/runtime/container"
	"ctr/runtime/events"
	"ctr/runtime/volume"
)

// CreateVolume makes a volume; one that is there is left as it is. Without a name it is an anonymous one.
func (in *Installation) CreateVolume(spec volume.Spec) (*volume.Volume, error) {
	if spec.Name == "" {
		spec.Name, spec.Anonymous = volume.NewName(), true
	}
	_, err := in.Volumes.Find(spec.Name)
	v, _, ensureErr := in.Volumes.Ensure(spec)
	if ensureErr == nil && errors.Is(err, volume.ErrNotFound) {
		in.NotifyOf(events.Volume, "create", v.Name, "driver", "local")
	}
	return v, ensureErr
}

// MakeVolumes makes the volumes of a container that was never started, with what its image has at their places.
func (in *Installation) MakeVolumes(ctx context.Context, c *container.Container) error {
	if !slices.ContainsFunc(c.Mounts, func(m container.Mount) bool { return m.Type == container.MountVolume }) {
		return nil
	}
	return in.withFiles(ctx, c, func(*inroot.Root) error { return nil })
}

// VolumeUsers returns the IDs of the containers that have each volume, by the volume's name.
func (in *Installation) VolumeUsers() (map[string][]string, error) {
	all, broken := in.Containers.List()
	users := map[string][]string{}
	for _, c := range all {
		for _, m := range c.Mounts {
			if m.Type == container.MountVolume && !slices.Contains(users[m.Source], c.ID) {
				users[m.Source] = append(users[m.Source], c.ID)
			}
		}
	}
	return users, errors.Join(broken...)
}

// VolumeInUseError is returned by RemoveVolume for a volume that a container has, whether it runs or not.
type VolumeInUseError struct {
	Name  string
	Users []string // the containers' IDs
}

func (e *VolumeInUseError) Error() string {
	return fmt.Sprintf("remove %s: volume is in use - [%s]", e.Name, strings.Join(e.Users, ", "))
}

// RemoveVolume deletes a volume and its files. It returns volume.ErrNotFound, or a *VolumeInUseError. A container whose record
// is damaged may have any volume: then none is removed.
func (in *Installation) RemoveVolume(name string) error {
	if _, err := in.Volumes.Find(name); err != nil && !errors.Is(err, durable.ErrDamaged) {
		return err
	}
	users, err := in.VolumeUsers()
	if err != nil {
		return err
	}
	if u := users[name]; len(u) > 0 {
		return &VolumeInUseError{name, u}
	}
	if err := in.Volumes.Remove(name); err != nil {
		return err
	}
	in.NotifyOf(events.Volume, "destroy", name, "driver", "local")
	return nil
}

// addVolumesFrom gives a container the volumes and folders of others, each named as CONTAINER[:ro|rw]; what it mounts itself
// at the same place comes first.
func (in *Installation) addVolumesFrom(spec *container.Spec, from []string) error {
	for _, text := range from {
		name, mode, hasMode := strings.Cut(text, ":")
		if name == "" || hasMode && mode != "ro" && mode != "rw" {
			return fmt.Errorf("invalid volumes-from specification: %q: want CONTAINER[:ro|rw]", text)
		}
		c, err := in.Find(name)
		if err != nil {
			return err
		}
		for _, m := range c.Mounts {
			taken := slices.ContainsFunc(spec.Mounts, func(o container.Mount) bool { return path.Clean(o.Target) == path.Clean(m.Target) })
			if m.Type == container.MountTmpfs || taken {
				continue
			}
			if hasMode {
				m.ReadOnly = mode == "ro"
			}
			spec.Mounts = append(slices.Clone(spec.Mounts), m)
		}
	}
	return nil
}
