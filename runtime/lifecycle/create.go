package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"ctr/images"
	"ctr/internal/span"
	"ctr/network"
	"ctr/runtime/container"
	"ctr/runtime/engine"
	"ctr/runtime/events"
	"ctr/runtime/volume"
)

// Create makes a container of what the user asked for. The spec is as the flags gave it: networks by name, "container:NAME"
// unresolved, what the image says left out; ID and time are chosen here. It returns *container.ConflictError if the name is
// taken. On error nothing is left behind but, perhaps, the image that was pulled.
func (in *Installation) Create(ctx context.Context, spec container.Spec, opts CreateOptions) (*container.Container, error) {
	spec.Version, spec.ID, spec.Created = container.SpecVersion, container.NewID(), time.Now()
	if err := container.ValidateName(spec.Name); err != nil {
		return nil, err
	}
	if err := in.resolveNetwork(&spec); err != nil {
		return nil, err
	}
	if err := in.resolveNamespaces(&spec.Namespaces); err != nil {
		return nil, err
	}
	if err := in.addVolumesFrom(&spec, opts.VolumesFrom); err != nil {
		return nil, err
	}
	if spec.Rootfs.Dir == "" {
		image, err := in.findImage(ctx, spec.Image.Ref, opts)
		if err != nil {
			return nil, err
		}
		if err := applyImage(&spec, image); err != nil {
			return nil, err
		}
		if err := in.unpack(ctx, image); err != nil {
			return nil, err
		}
	}
	if err := checkSpec(&spec); err != nil {
		return nil, err
	}
	chosen, err := in.chooseIDs(&spec)
	if err != nil {
		return nil, err
	}
	defer chosen()
	c, err := in.Containers.Create(spec, in.fill)
	if _, taken := errors.AsType[*container.ConflictError](err); taken {
		// Perhaps by one that its monitor was to remove, but was killed before.
		if sweepErr := in.Sweep(); sweepErr != nil {
			return nil, err
		}
		c, err = in.Containers.Create(spec, in.fill)
	}
	if err == nil {
		in.Notify(c, "create")
	}
	return c, err
}

// fill makes the writable layer of a container.
func (in *Installation) fill(c *container.Container) error {
	defer span.Begin("make writable layer").End()
	if c.Rootfs.Dir != "" {
		return nil
	}
	for _, dir := range []string{c.UpperDir(), c.WorkDirPath()} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("make writable layer: %w", err)
		}
	}
	if c.IDs.IsZero() {
		return nil
	}
	// The upper folder is no idmapped mount (see rootfs.Overlay): what is root's inside belongs to root's IDs outside.
	if uid, gid, ok := c.IDs.Outside(0, 0); ok {
		if err := os.Chown(c.UpperDir(), uid, gid); err != nil {
			return fmt.Errorf("make writable layer: %w", err)
		}
	}
	return nil
}

// findImage returns the image that the user means, and asks the registry as far as they allow.
func (in *Installation) findImage(ctx context.Context, ref string, opts CreateOptions) (images.Image, error) {
	defer span.Begin("find image").End()
	var unfit error
	if opts.Pull != PullAlways {
		image, err := in.Images.Find(ref)
		if err == nil {
			fits, err := image.IsFor(opts.Platform)
			if fits || err != nil {
				return image, err
			}
			unfit = fmt.Errorf("image %s is here for %s, and not for %s", ref, image.Platform, opts.Platform)
		} else if !errors.Is(err, images.ErrNotFound) {
			return image, err
		}
		name, err := images.ParseReference(ref)
		if err != nil {
			return image, err
		}
		if opts.Pull == PullNever && unfit != nil {
			return image, unfit
		}
		if opts.Pull == PullNever {
			return image, fmt.Errorf("%w: %s", ErrUnknownImage, name.WithDefaultTag().Familiar())
		}
		if opts.Notice != nil {
			opts.Notice(fmt.Sprintf("Unable to find image '%s' locally", name.WithDefaultTag().Familiar()))
		}
	}
	image, err := in.Images.Pull(ctx, ref, images.PullOptions{Platform: opts.Platform, Progress: opts.Progress})
	if err == nil {
		in.NotifyOf(events.Image, "pull", ref, "name", ref)
	} else if unfit != nil {
		err = fmt.Errorf("%w: %w", unfit, err)
	}
	return image, err
}

// unpack makes sure that all layers of the image are there.
func (in *Installation) unpack(ctx context.Context, image images.Image) error {
	var below []string
	for _, layer := range image.Layers {
		if !in.Layers.Has(layer.ChainID) {
			if err := in.unpackLayer(ctx, layer, below); err != nil {
				return fmt.Errorf("unpack layer %s: %w", container.Short(strings.TrimPrefix(layer.Digest, "sha256:")), err)
			}
		}
		below = append(below, layer.ChainID)
	}
	return nil
}

func (in *Installation) unpackLayer(ctx context.Context, layer images.Layer, below []string) error {
	archive, err := in.Images.OpenLayer(ctx, layer)
	if err != nil {
		return err
	}
	defer archive.Close()
	return in.Layers.Unpack(ctx, layer.ChainID, archive, below...)
}

// resolveNetwork puts the IDs of networks and containers in place of what the user typed.
func (in *Installation) resolveNetwork(spec *container.Spec) error {
	defer span.Begin("find network").End()
	n := &spec.Network
	if ref, ok := n.Mode.Container(); ok {
		owner, err := in.findOwner(ref, func(c *container.Container) container.Mode { return c.Network.Mode })
		if err != nil {
			return err
		}
		n.Mode = container.ModeContainer + container.Mode(owner.ID)
		return nil
	}
	if n.Mode != container.ModePrivate {
		return nil
	}
	if len(n.Endpoints) == 0 {
		n.Endpoints = []network.EndpointSpec{{Network: defaultNetwork}}
	}
	n.Endpoints = slices.Clone(n.Endpoints)
	for i := range n.Endpoints {
		found, err := in.Networks.Find(n.Endpoints[i].Network)
		if err != nil {
			return err
		}
		n.Endpoints[i].Network, n.Endpoints[i].Name = found.ID, found.Name
	}
	return nil
}

// findOwner finds a container, and, where that one shares what mode tells with another, the one whose it is: that outlives the
// runs of both.
func (in *Installation) findOwner(ref string, mode func(*container.Container) container.Mode) (*container.Container, error) {
	c, err := in.Find(ref)
	for err == nil {
		id, joins := mode(c).Container()
		if !joins {
			return c, nil
		}
		joined := c.Name
		if c, err = in.Containers.Load(id); err != nil {
			err = fmt.Errorf("container %s shares what belonged to a container that is gone: %w", joined, err)
		}
	}
	return nil, err
}

// resolveNamespaces puts IDs in place of the containers' names.
func (in *Installation) resolveNamespaces(n *container.Namespaces) error {
	for _, mode := range []*container.Mode{&n.PID, &n.IPC, &n.UTS, &n.User} {
		ref, ok := mode.Container()
		if !ok {
			continue
		}
		shared := func(*container.Container) container.Mode { return container.ModePrivate }
		if mode == &n.User {
			shared = func(c *container.Container) container.Mode { return c.Namespaces.User }
		}
		target, err := in.findOwner(ref, shared)
		if err != nil {
			return err
		}
		if mode == &n.IPC && target.Namespaces.IPC == container.ModeNone {
			return fmt.Errorf("cannot join IPC namespace of container %s: it has none to share (--ipc none)", target.Name)
		}
		*mode = container.ModeContainer + container.Mode(target.ID)
	}
	return nil
}

// checkSpec refuses what cannot run, and names the volumes that the user left nameless.
func checkSpec(spec *container.Spec) error {
	if len(spec.Entrypoint)+len(spec.Cmd) == 0 {
		return errors.New("no command specified")
	}
	if err := engine.CheckLimits(spec.Resources); err != nil {
		return err
	}
	if spec.Rootfs.Dir != "" {
		info, err := os.Stat(spec.Rootfs.Dir)
		if err != nil {
			return fmt.Errorf("use root file system: %w", err)
		}
		if !info.IsDir() {
			return fmt.Errorf("use root file system: %q is no folder", spec.Rootfs.Dir)
		}
	}
	spec.Mounts = slices.Clone(spec.Mounts)
	for i := range spec.Mounts {
		if m := &spec.Mounts[i]; m.Type == container.MountVolume && m.Source == "" {
			m.Source, m.Anonymous = volume.NewName(), true
		}
	}
	return nil
}

// defaultNetwork is the network of a container whose user named none.
const defaultNetwork = "bridge"
