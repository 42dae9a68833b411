package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ctr/internal/proc"
	"ctr/internal/span"
	"ctr/network"
	"ctr/network/netns"
	"ctr/rootfs"
	"ctr/runtime/container"
	"ctr/runtime/engine"
	"ctr/runtime/keep"
	"ctr/runtime/prewarm"
)

// run is one run of the container, from the first thing made to the last one taken away.
type run struct {
	m         *monitor
	joins     joins
	netns     *netns.Handle // of a sandbox that is being made, for the init to enter; nil: it has to wait
	netnsMade *netns.Handle // one in the user namespace, for the sandbox to be made in
	userns    *os.File      // the user namespace, until the init is in it; nil: the host's
	held      []func()      // releases what the container's mounts show, once they are made and its init is known
	streams   *streams
	created   *engine.Created
	program   *keep.Program
	began     time.Time
	warnings  []string
	networks  []network.Endpoint // that were made for it
}

// start brings the container to run. On error nothing of the try is left but the run folder, which the caller removes.
func (m *monitor) start(ctx context.Context) (r *run, err error) {
	r = &run{m: m}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.undo())
		}
	}()
	m.record.Init, m.record.StartedAt = noProcess, time.Time{}
	m.record.Lingering, m.record.TerminalLost = false, false
	if err := m.c.WriteMonitor(m.record); err != nil {
		return r, err
	}
	defer prewarm.Start(time.Second, func() { enterCgroup(m.in.CgroupParent()) })()
	if r.joins, err = m.join(); err != nil {
		return r, err
	}
	if err := r.openUserNS(); err != nil {
		return r, err
	}
	if err := r.prepare(ctx); err != nil {
		return r, err
	}
	r.warnings = append(r.created.Warnings, r.warnings...)
	return r, r.release()
}

// prepare makes the sandbox and the container side by side. The container's init waits at its exec fifo until both stand.
func (r *run) prepare(ctx context.Context) error {
	defer span.Begin("prepare").End()
	defer func() {
		for _, release := range r.held {
			release()
		}
		r.held = nil
	}()
	namespace := make(chan string, 2) // its path, as soon as there is one, and once more when all is there
	networked := make(chan error, 1)
	go func() {
		err := r.network(ctx, namespace)
		netns.Drop()
		if err == nil {
			namespace <- r.netnsPath()
		}
		networked <- err
		close(namespace)
	}()
	init := make(chan proc.ID, 1)
	announced := make(chan error, 1)
	go func() {
		id, started := <-init
		err := <-networked
		if err == nil && started {
			err = r.announce(id)
		}
		announced <- err
	}()
	err := rootfs.WithPrivateMounts(func() error {
		return r.create(ctx, engine.Beside{
			NetNS: func() (string, error) {
				path, ok := <-namespace
				if !ok {
					return "", errNoNetwork
				}
				return path, nil
			},
			Started: func(id proc.ID) { init <- id },
		})
	})
	close(init) // here, since there may have been no thread to create on
	if errors.Is(err, errNoNetwork) {
		err = nil
	}
	err = errors.Join(<-announced, err)
	if r.netns != nil {
		err = errors.Join(err, r.netns.Close())
	}
	return err
}

// errNoNetwork ends what waits for the network, whose own error says why there is none.
var errNoNetwork = errors.New("no network")

// network makes the sandbox, or the files that a container without one of its own needs. The init may enter the sandbox before
// it is complete, which takes 3 ms off the start; but one that sets the kernel's settings for interfaces has to find them.
func (r *run) network(ctx context.Context, namespace chan<- string) error {
	defer span.Begin("network").End()
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
	if r.m.sandbox != nil {
		return nil // that of the last run, which others use
	}
	var err error
	usable := func(ns *netns.Handle) {
		if r.m.setsUpInterfaces() {
			return
		}
		// A handle of our own: when Setup fails it closes its one, whose number would be that of another file then.
		if own, err := ns.Clone(); err == nil {
			r.netns = own
			namespace <- own.Path()
		}
	}
	if r.m.sandbox, err = r.m.in.Networks.Setup(ctx, spec, r.m.record.Monitor, r.takeNetNS(), usable); err != nil {
		return err
	}
	r.networks = r.m.sandbox.Record.Endpoints
	if s := r.m.sandbox; s.NetNS != nil {
		r.m.keeper.Serve(keep.Services{NetNS: s.NetNS, DNS: s.DNS, UDP: s.DNSUDP, TCP: s.DNSTCP, Forwards: s.Forwards()})
	}
	return nil
}

// setsUpInterfaces tells whether the user wants kernel settings of the network.
func (m *monitor) setsUpInterfaces() bool {
	for key := range m.c.Security.Sysctls {
		if strings.HasPrefix(strings.ReplaceAll(key, "/", "."), "net.") {
			return true
		}
	}
	return false
}

// netnsPath is what libcontainer is told to join; engine.HostNS for the host's namespace.
func (r *run) netnsPath() string {
	switch {
	case r.m.sandbox != nil:
		return r.m.sandbox.NetNS.Path()
	case r.joins.net != nil:
		return r.joins.net.path()
	}
	return engine.HostNS
}

// create runs on a thread with a private mount namespace: what it mounts nobody sees but the container's init, which is
// forked from this thread.
func (r *run) create(ctx context.Context, beside engine.Beside) error {
	c := r.m.c
	root, err := r.m.mountRootfs(r.userns)
	if err != nil {
		return err
	}
	cfg, err := r.engineConfig(ctx, root)
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
	if err := rootfs.GiveStreams(c.IDs, r.streams.program[:]...); err != nil {
		return err
	}
	if c.Network.Mode == container.ModeHost {
		cfg.NetNS = engine.HostNS
	}
	made, err := r.m.in.KeepCgroupParent(c)
	if err != nil {
		return err
	}
	defer made()
	if err := engine.UseInit(r.m.in.InitProgram); err != nil {
		return err
	}
	if r.created, err = engine.Create(cfg, r.streams.forProgram(r.m.size), beside); err != nil {
		return err
	}
	return nil
}

// announce records the init, and makes the container's names known. The init is still at work meanwhile, which takes 2 ms off
// the start: names may resolve a little before the program runs, never after.
func (r *run) announce(init proc.ID) error {
	defer span.Begin("announce").End()
	m := r.m
	m.record.Init = init
	m.record.Freezer = engine.FreezerFile(m.in.Cgroup(m.c))
	if err := m.c.WriteMonitor(m.record); err != nil {
		return err
	}
	if m.sandbox == nil {
		return nil
	}
	if err := m.sandbox.Announce(init); err != nil {
		return err
	}
	r.warnings = append(r.warnings, m.sandbox.Warnings...)
	return nil
}

// release lets the program go, and writes down that it runs. Only then is it one that a successor takes over: an init that nobody
// has released would wait for ever.
func (r *run) release() error {
	defer span.Begin("release").End()
	m := r.m
	if err := r.hand(); err != nil {
		return err
	}
	r.began = time.Now()
	if err := m.c.WriteExit(container.Exit{StartedAt: r.began, Restarts: m.record.Restarts}); err != nil {
		return err
	}
	r.joins.closeNamespaces()
	r.closeUserNS()
	if err := r.created.Release(); err != nil {
		return err
	}
	m.record.StartedAt, m.record.Restarting = r.began, false
	return m.c.WriteMonitor(m.record)
}

// hand hands the program's streams to the keeper.
func (r *run) hand() error {
	defer span.Begin("hand streams to keeper").End()
	c := r.m.c
	// A terminal's input does not end with its first user, who comes back to it after the detach keys.
	p := &keep.Program{Init: r.created.Init(), StdinOnce: c.StdinOnce && !c.TTY, Pty: r.created.Pty()}
	r.streams.closeProgramEnds()
	p.Stdin, p.Stdout, p.Stderr = r.streams.stdin, r.streams.stdout, r.streams.stderr
	p.Log, p.Probe = keptLog(c), r.m.probe()
	r.program = p
	return r.m.keeper.Run(p)
}

// undo takes back what a start has made so far, but for the sandbox, which is the monitor's.
func (r *run) undo() error {
	var errs []error
	if r.created != nil {
		errs = append(errs, r.created.Destroy())
	}
	if r.program != nil {
		errs = append(errs, r.program.End())
	} else if r.streams != nil {
		r.streams.close()
	}
	r.joins.close()
	r.closeUserNS()
	return errors.Join(append(errs, r.m.releaseCgroup())...)
}

// releaseCgroup takes away what was made to hold the container's cgroup, when that has gone.
func (m *monitor) releaseCgroup() error {
	if m.c.Resources.CgroupParent == "" {
		return nil
	}
	return m.in.ReleaseCgroupParents()
}

// closeSandbox takes the network side down. The veth goes with the namespace when the last descriptor is closed.
func (m *monitor) closeSandbox() error {
	defer span.Begin("take down network").End()
	if record, err := network.ReadRecord(m.c.SandboxPath()); err == nil && !m.record.StartedAt.IsZero() {
		defer func() { m.in.NotifyNetworks(m.c, "disconnect", record.Endpoints) }()
	}
	if m.keeper != nil {
		if m.sandbox != nil {
			m.sandbox.Ports = m.keeper.Services().Held() // they may have changed
		}
		m.keeper.StopServices()
	}
	if m.sandbox != nil {
		m.note("preserve record of network", m.sandbox.Preserve())
		m.sandbox.Close()
		m.sandbox = nil
	}
	return m.in.Networks.Teardown(m.c.SandboxPath())
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
func (m *monitor) mountRootfs(user *os.File) (string, error) {
	defer span.Begin("mount root file system").End()
	c := m.c
	if c.Rootfs.Dir != "" {
		return c.Rootfs.Dir, nil
	}
	lower, err := m.in.Layers.Stack(c.Rootfs.Layers)
	if err != nil {
		return "", err
	}
	target := filepath.Join(c.RunDir, "rootfs")
	if err := os.MkdirAll(target, 0o700); err != nil {
		return "", fmt.Errorf("mount root file system: %w", err)
	}
	// volatile: overlayfs syncs nothing when it is unmounted; what is removed anyway need not survive a crash of the machine.
	o := rootfs.Overlay{Lower: lower, Upper: c.UpperDir(), Work: c.WorkDirPath(), Target: target, Volatile: c.AutoRemove, UserNS: user}
	return target, o.Mount()
}
