package monitor

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"ctr/internal/span"
	"ctr/rootfs"
	"ctr/runtime/container"
	"ctr/runtime/engine"
)

// engineConfig resolves what the spec leaves open, now that the root file system is mounted: the user, the sources of
// mounts, whose hosts and resolv.conf it sees.
func (r *run) engineConfig(ctx context.Context, root string) (engine.Config, error) {
	m, userNS := r.m, r.userns
	defer span.Begin("resolve configuration").End()
	c := m.c
	user, err := rootfs.LookupUser(root, c.User, c.Groups)
	if err != nil {
		return engine.Config{}, err
	}
	cfg := engine.Config{
		Spec: &c.Spec, StateDir: m.in.Containers.RunRoot(), Rootfs: root,
		User: engine.User{UID: user.UID, GID: user.GID, Groups: user.Groups, Home: user.Home}, Env: c.Env, Args: slices.Concat(c.Entrypoint, c.Cmd), WorkDir: c.WorkDir,
		Cgroup: m.in.Cgroup(c),
		UserNS: userNS, IDs: c.IDs,
		Hostname: c.Hostname, Domainname: c.Domainname, SeccompCache: filepath.Join(m.in.Roots.Data, "seccomp"),
	}
	if cfg.Hostname == "" {
		cfg.Hostname = c.ShortID()
	}
	files := c.Dir
	if id, ok := c.Network.Mode.Container(); ok {
		target, err := m.in.Containers.Load(id)
		if err != nil {
			return engine.Config{}, fmt.Errorf("share network files: %w", err)
		}
		files = target.Dir
		if cfg.Hostname = target.Hostname; cfg.Hostname == "" {
			cfg.Hostname = target.ShortID()
		}
	}
	for _, name := range []string{"resolv.conf", "hosts", "hostname"} {
		if target := "/etc/" + name; !mountedOver(c.Mounts, target) {
			cfg.Binds = append(cfg.Binds, engine.Bind{Source: filepath.Join(files, name), Target: target})
		}
	}
	cfg.Mounts = slices.Clone(c.Mounts)
	for i, mount := range cfg.Mounts {
		switch mount.Type {
		case container.MountTmpfs:
		case container.MountBind:
			if err := checkBind(mount); err != nil {
				return engine.Config{}, err
			}
		case container.MountVolume:
			var release func()
			if cfg.Mounts[i].Source, release, err = m.in.VolumeFolder(ctx, root, mount, c.IDs, userNS); err != nil {
				return engine.Config{}, err
			}
			r.held = append(r.held, release)
		}
	}
	return cfg, nil
}

// mountedOver tells whether the user mounts something of their own at the path.
func mountedOver(mounts []container.Mount, target string) bool {
	return slices.ContainsFunc(mounts, func(m container.Mount) bool { return filepath.Clean(m.Target) == target })
}
