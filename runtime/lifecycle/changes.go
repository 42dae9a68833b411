package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"ctr/images"
	"ctr/rootfs"
	"ctr/rootfs/pack"
	"ctr/runtime/container"
)

// Diff returns what is not as in the container's image.
func (in *Installation) Diff(_ context.Context, c *container.Container) ([]rootfs.Change, error) {
	if c.Rootfs.Dir != "" {
		return nil, fmt.Errorf("container %s has no image to compare with: it uses the folder %q", c.Name, c.Rootfs.Dir)
	}
	lower, err := in.openLower(c)
	if err != nil {
		return nil, err
	}
	if lower != nil {
		defer lower.Close()
	}
	return rootfs.Changes(c.UpperDir(), lower, c.IDs)
}

// openLower opens what the layers of a container's image show; nil for an image without any.
func (in *Installation) openLower(c *container.Container) (*os.File, error) {
	if len(c.Rootfs.Layers) == 0 {
		return nil, nil //nolint:nilnil // documented
	}
	o := rootfs.Overlay{Lower: in.Layers.Paths(c.Rootfs.Layers), Target: c.UpperDir(), ReadOnly: true}
	return o.Open()
}

// Export writes the root file system of a container, without its volumes, as a tar archive.
func (in *Installation) Export(ctx context.Context, c *container.Container, w io.Writer) error {
	in.Notify(c, "export")
	return in.withBareFiles(ctx, c, func(root *os.File) error {
		p := pack.New(ctx, w)
		p.IDs = c.IDs
		if err := p.Tree(root, "."); err != nil {
			return fmt.Errorf("export container %s: %w", c.Name, err)
		}
		return p.Close()
	})
}

// CommitOptions are those of `commit`.
type CommitOptions struct {
	Author  string
	Message string
	Changes []string // --change: instructions of a Dockerfile, applied in order
	NoPause bool     // let a running container go on meanwhile
}

// Commit makes an image of a container: the layers of its own image, and one of what has changed since. An empty ref leaves it
// without a name. The processes of a running container stand still meanwhile.
func (in *Installation) Commit(ctx context.Context, c *container.Container, ref string, o CommitOptions) (image images.Image, err error) {
	commit := images.CommitOptions{
		Base: c.Image.ID, Author: o.Author, Message: o.Message, Changes: o.Changes,
		CreatedBy: strings.Join(slices.Concat(c.Entrypoint, c.Cmd), " "), Config: imageConfig(c),
	}
	if c.State().Status == container.Running && !o.NoPause {
		if err := in.Pause(ctx, c); err != nil && !errors.Is(err, container.ErrNotRunning) {
			return image, err
		}
		defer func() {
			if e := in.Unpause(ctx, c); e != nil && c.State().Running() {
				err = errors.Join(err, e)
			}
		}()
	}
	write := func(w io.Writer) error {
		changes, err := in.Diff(ctx, c)
		if err != nil {
			return err
		}
		return rootfs.PackChanges(ctx, w, c.UpperDir(), changes, c.IDs)
	}
	if c.Rootfs.Dir != "" {
		write = func(w io.Writer) error { return in.Export(ctx, c, w) }
	}
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.CloseWithError(write(w)) // io.EOF without an error
	}()
	image, err = in.Images.Commit(ctx, r, ref, commit)
	r.CloseWithError(err)
	<-done
	if err == nil {
		if ref != "" {
			in.NotifyTag(ref)
		}
		in.Notify(c, "commit", "imageID", image.ID, "imageRef", ref, "comment", o.Message)
	}
	return image, err
}

// imageConfig is the configuration that containers of a committed image get: what the container itself was made with.
func imageConfig(c *container.Container) images.Config {
	var out images.Config
	cfg := &out.Config
	cfg.Entrypoint, cfg.Cmd, cfg.Env = c.Entrypoint, c.Cmd, c.Env
	cfg.WorkingDir, cfg.User, cfg.StopSignal = c.WorkDir, c.User, c.StopSignal
	cfg.Labels = maps.Clone(c.Labels)
	for _, e := range c.Network.Exposed() {
		if cfg.ExposedPorts == nil {
			cfg.ExposedPorts = map[string]struct{}{}
		}
		cfg.ExposedPorts[strconv.Itoa(int(e.Port))+"/"+string(e.Protocol)] = struct{}{}
	}
	for _, m := range c.Mounts {
		if m.Type == container.MountVolume && m.Anonymous {
			if cfg.Volumes == nil {
				cfg.Volumes = map[string]struct{}{}
			}
			cfg.Volumes[path.Clean(m.Target)] = struct{}{}
		}
	}
	if h := c.Spec.Health; h != nil {
		cfg.Healthcheck = &images.Healthcheck{
			Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, StartInterval: h.StartInterval, Retries: h.Retries,
		}
	}
	return out
}
