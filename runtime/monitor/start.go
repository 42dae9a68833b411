package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ctr/network"
	"ctr/rootfs"
	"ctr/runtime/attach"
	"ctr/runtime/container"
	"ctr/runtime/engine"
	"ctr/runtime/keep"
	"ctr/runtime/logs"
)

// run is one run of the container, from the first thing made to the last one taken away.
type run struct {
	m        *monitor
	joins    joins
	sandbox  *network.Sandbox // nil: it uses the host's or another container's network
	streams  *streams
	created  *engine.Created
	keeper   *keep.Keeper
	began    time.Time
	warnings []string
}

// start brings the container to run. On error nothing of the try is left but the run folder, which the caller removes.
func (m *monitor) start(ctx context.Context) (r *run, err error) {
	r = &run{m: m}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.undo())
		}
	}()
	if err := os.MkdirAll(m.c.RunDir, 0o700); err != nil {
		return r, fmt.Errorf("make run folder: %w", err)
	}
	m.record.Init, m.record.StartedAt, m.record.Restarting = noProcess, time.Time{}, false
	if err := m.c.WriteMonitor(m.record); err != nil {
		return r, err
	}
	if r.joins, err = m.join(); err != nil {
		return r, err
	}
	if err := r.prepare(ctx); err != nil {
		return r, err
	}
	return r, r.release()
}

// prepare makes the sandbox and the container side by side. The container's init waits at its exec fifo until both stand.
func (r *run) prepare(ctx context.Context) error {
	netns := make(chan string, 1) // the path of the namespace, as soon as there is one
	networked := make(chan error, 1)
	go func() {
		err := r.network(ctx)
		if err == nil {
			netns <- r.netnsPath()
		}
		close(netns)
		networked <- err
	}()
	err := rootfs.WithPrivateMounts(func() error { return r.create(ctx, netns) })
	return errors.Join(<-networked, err)
}

// network makes the sandbox, or the files that a container without one of its own needs.
func (r *run) network(ctx context.Context) error {
	spec := r.m.sandboxSpec()
	switch mode := r.m.c.Network.Mode; {
	case mode == container.ModeHost:
		return r.m.in.Networks.HostFiles(spec)
	case r.joins.net != nil:
		if _, ok := mode.Path(); ok {
			return r.m.in.Networks.HostFiles(spec)
		}
		return nil
	}
	var err error
	r.sandbox, err = r.m.in.Networks.Setup(ctx, spec, r.m.record.Monitor)
	if err == nil {
		r.warnings = append(r.warnings, r.sandbox.Warnings...)
	}
	return err
}

// netnsPath is what libcontainer is told to join; engine.HostNS for the host's namespace.
func (r *run) netnsPath() string {
	switch {
	case r.sandbox != nil:
		return r.sandbox.NetNS.Path()
	case r.joins.net != nil:
		return r.joins.net.path()
	}
	return engine.HostNS
}

// create runs on a thread with a private mount namespace: what it mounts nobody sees but the container's init, which is
// forked from this thread.
func (r *run) create(ctx context.Context, netns <-chan string) error {
	c := r.m.c
	root, err := r.m.mountRootfs()
	if err != nil {
		return err
	}
	cfg, err := r.m.engineConfig(ctx, root)
	if err != nil {
		return err
	}
	cfg.PIDNS, cfg.IPCNS, cfg.UTSNS = r.joins.pidPath(), r.joins.ipcPath(), r.joins.utsPath()
	if r.joins.ipc != nil {
		cfg.Shm = r.joins.ipc.init.PID
	}
	if r.streams, err = openStreams(c); err != nil {
		return err
	}
	path, ok := <-netns
	if !ok {
		return nil // the network's own error says why
	}
	cfg.NetNS = path
	if r.created, err = engine.Create(cfg, r.streams.forProgram()); err != nil {
		return err
	}
	r.warnings = append(r.warnings, r.created.Warnings...)
	return nil
}

// release records the init, makes the container's names known, and lets the program go.
func (r *run) release() error {
	m := r.m
	init := r.created.Init()
	m.record.Init = init
	m.record.Freezer = engine.FreezerFile(m.in.CgroupParent() + "/" + m.c.ID)
	if err := m.c.WriteMonitor(m.record); err != nil {
		return err
	}
	if r.sandbox != nil {
		if err := r.sandbox.Announce(init); err != nil {
			return err
		}
		r.warnings = append(r.warnings, r.sandbox.Warnings...)
	}
	if err := r.startKeeper(); err != nil {
		return err
	}
	r.began = time.Now()
	if err := m.c.WriteExit(container.Exit{StartedAt: r.began, Restarts: m.record.Restarts}); err != nil {
		return err
	}
	m.record.StartedAt = r.began
	if err := m.c.WriteMonitor(m.record); err != nil {
		return err
	}
	return r.created.Release()
}

// startKeeper hands all descriptors to the keeper.
func (r *run) startKeeper() error {
	c := r.m.c
	cfg := keep.Config{Init: r.created.Init(), StdinOnce: c.StdinOnce, First: r.m.client}
	r.streams.closeProgramEnds()
	cfg.Stdin, cfg.Stdout, cfg.Stderr, cfg.Pty = r.streams.stdin, r.streams.stdout, r.streams.stderr, r.created.Pty()
	var err error
	if c.Log.Driver != "none" {
		if cfg.Log, err = logs.Open(c.LogPath(), logs.Options{MaxSize: c.Log.MaxSize, MaxFile: c.Log.MaxFile}); err != nil {
			return err
		}
	}
	if cfg.Listener, err = attach.Listen(c.AttachPath()); err != nil {
		return err
	}
	r.m.client = nil
	r.keeper, err = keep.Start(cfg)
	return err
}

// undo takes back what a start has made so far.
func (r *run) undo() error {
	var errs []error
	if r.created != nil {
		errs = append(errs, r.created.Destroy())
	}
	if r.keeper != nil {
		r.keeper.Close()
		errs = append(errs, r.keeper.Drain())
	} else if r.streams != nil {
		r.streams.close()
	}
	errs = append(errs, r.closeSandbox())
	r.joins.close()
	return errors.Join(errs...)
}

// closeSandbox takes the network side down. The veth goes with the namespace when the last descriptor is closed.
func (r *run) closeSandbox() error {
	if r.sandbox != nil {
		r.sandbox.NetNS.Close()
		r.sandbox = nil
	}
	return r.m.in.Networks.Teardown(r.m.c.SandboxPath())
}

// sandboxSpec is what the network is told of the container.
func (m *monitor) sandboxSpec() network.SandboxSpec {
	c := m.c
	return network.SandboxSpec{
		ID: c.ID, Name: c.Name, Hostname: c.Hostname, Domainname: c.Domainname,
		Endpoints: c.Network.Endpoints, None: c.Network.Mode == container.ModeNone,
		Ports: c.Network.Ports, Resolver: c.Network.Resolver, ExtraHosts: c.Network.ExtraHosts,
		Dir: c.Dir, Record: c.SandboxPath(),
	}
}

// mountRootfs mounts the container's root file system in the thread's private mount namespace, and returns where.
func (m *monitor) mountRootfs() (string, error) {
	c := m.c
	if c.Rootfs.Dir != "" {
		return c.Rootfs.Dir, nil
	}
	lower := make([]string, len(c.Rootfs.Layers))
	for i, id := range c.Rootfs.Layers {
		lower[i] = m.in.Layers.Path(id)
	}
	target := filepath.Join(c.RunDir, "rootfs")
	if err := os.MkdirAll(target, 0o700); err != nil {
		return "", fmt.Errorf("mount root file system: %w", err)
	}
	// volatile: overlayfs syncs nothing when it is unmounted; what is removed anyway need not survive a crash of the machine.
	o := rootfs.Overlay{Lower: lower, Upper: c.UpperDir(), Work: c.WorkDirPath(), Target: target, Volatile: c.AutoRemove}
	return target, o.Mount()
}
