package main

import (
	"errors"

	api "github.com/moby/moby/api/types/container"

	"ctr/images"
	"ctr/internal/durable"
	"ctr/internal/parallel"
	"ctr/network"
	"ctr/runtime/container"
	"ctr/runtime/inspect"
	"ctr/runtime/lifecycle"
)

// viewer shows containers. It reads the networks once, for their names; one with a damaged record has none.
type viewer struct {
	names map[string]string // of networks, by ID
	ids   map[string]string // of networks, by name

	volumePath func(name string) string
	imageMoved func(container.Image) bool
}

func newViewer(in *lifecycle.Installation) (*viewer, error) {
	all, err := in.Networks.List()
	if err != nil && !errors.Is(err, durable.ErrDamaged) {
		return nil, err
	}
	v := &viewer{names: map[string]string{}, ids: map[string]string{}, volumePath: in.Volumes.Path, imageMoved: imageMoved(in.Images)}
	for _, n := range all {
		v.names[n.ID], v.ids[n.Name] = n.Name, n.ID
	}
	return v, nil
}

// imageMoved tells whether an image has another name now than a container has of it. Each name is looked up once.
func imageMoved(store *images.Store) func(container.Image) bool {
	ids := map[string]string{}
	return func(i container.Image) bool {
		if i.Ref == "" || i.ID == "" {
			return false
		}
		id, known := ids[i.Ref]
		if !known {
			var err error
			if id, err = store.ID(i.Ref); err != nil && !errors.Is(err, images.ErrNotFound) {
				id = i.ID // a store that cannot be read says nothing
			}
			ids[i.Ref] = id
		}
		return id != i.ID
	}
}

// view reads all that there is to know of a container.
func (v *viewer) view(c *container.Container) inspect.Container {
	state := c.State()
	out := inspect.Container{
		Spec: c.Spec, State: state, Dir: c.Dir, LogPath: c.LogPath(),
		VolumePath:  v.volumePath,
		ImageMoved:  v.imageMoved,
		NetworkName: func(id string) string { return v.names[id] },
		NetworkID:   func(name string) string { return v.ids[name] },
	}
	if c.Spec.Log.Driver == "none" {
		out.LogPath = ""
	}
	out.MaskedPaths, out.ReadonlyPaths = lifecycle.SystemPaths(c.Security)
	if state.Running() {
		if r, err := network.ReadRecord(c.SandboxPath()); err == nil {
			out.Record = r
		}
	}
	return out
}

// views reads all that there is to know of many containers.
func (v *viewer) views(all []*container.Container) []inspect.Container {
	out := make([]inspect.Container, len(all))
	parallel.For(len(all), func(i int) { out[i] = v.view(all[i]) })
	return out
}

// summary is a container as `ps` shows it.
type summary struct {
	api.Summary
	container *container.Container
	state     container.State
}
