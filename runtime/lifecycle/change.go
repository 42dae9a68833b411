package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"ctr/network"
	"ctr/runtime/container"
	"ctr/runtime/keep"
)

// change has f change the spec of a container, and its sandbox, if it has one: live is nil if not. The spec is read anew
// before, and saved afterwards unless f fails, under the lock of changes. A container that does not run is locked besides. One
// that does is locked by its monitor for as long as it lives; the lock of its run folder, which network.Edit and the sandbox's
// teardown take, is that of its sandbox.
func (in *Installation) change(ctx context.Context, c *container.Container, f func(live *network.Live) error) error {
	unlock, err := c.LockChanges()
	if err != nil {
		return err
	}
	defer unlock()
	ctx, cancel := settling(ctx)
	defer cancel()
	p := patient(c)
	for {
		in.meet(ctx, c)
		lock, err := c.TryLock()
		if err == nil {
			defer lock.Close()
			if err := in.recover(c); err != nil {
				return fmt.Errorf("take over container %s: %w", c.Name, err)
			}
			if c.State().Running() {
				return fmt.Errorf("the monitor of container %s was killed, and nobody can take its place: start the container anew to change its networks", c.Name)
			}
			return in.changeSpec(c, nil, f)
		}
		if !errors.Is(err, container.ErrBusy) {
			return err
		}
		if state := c.State(); state.Running() || state.Status == container.Restarting || lingers(c) {
			err := in.changeLive(c, f)
			if !errors.Is(err, errGone) {
				return err
			}
		}
		if err := p.wait(ctx); err != nil { // it starts or ends at this moment
			return err
		}
	}
}

// errGone is returned when a container has ended before it could be changed.
var errGone = errors.New("container has ended")

// lingers tells whether a container has ended and its monitor only keeps its sandbox for others.
func lingers(c *container.Container) bool {
	record, err := c.ReadMonitor()
	return err == nil && record.Lingering && record.Monitor.Alive()
}

// changeLive changes a container that has a monitor.
func (in *Installation) changeLive(c *container.Container, f func(live *network.Live) error) error {
	live, err := in.Networks.Edit(c.SandboxPath(), func(s *network.Sandbox) error {
		return keep.Change(c.AttachPath(), keep.Services{DNS: s.DNS, UDP: s.DNSUDP, TCP: s.DNSTCP, Forwards: s.Forwards()})
	})
	if err == nil {
		err = errors.Join(in.changeSpec(c, live, f), live.Close())
		if err != nil && in.ends(c) {
			return errGone // on the way: what was refused may go well without it
		}
		return err
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if state := c.State(); !state.Running() && state.Status != container.Restarting {
		return errGone
	}
	return in.changeSpec(c, nil, f) // it has no sandbox of its own, or none between two runs
}

// ends tells whether a container has ended, and is not kept for others.
func (in *Installation) ends(c *container.Container) bool {
	record, err := c.ReadMonitor()
	return err != nil || !record.Init.Alive() && !record.Restarting && !record.Lingering
}

// changeSpec has f change the spec, as it is now, and saves it.
func (in *Installation) changeSpec(c *container.Container, live *network.Live, f func(live *network.Live) error) error {
	now, err := in.Containers.Load(c.ID)
	if err != nil {
		return err
	}
	c.Spec = now.Spec
	if live == nil {
		in.renewNetworks(c)
	}
	if err := f(live); err != nil {
		return err
	}
	return in.Containers.Save(c)
}

// renewNetworks has a container be on the networks that were made anew under the names of its own.
func (in *Installation) renewNetworks(c *container.Container) (changed bool) {
	for i, e := range c.Network.Endpoints {
		if e, anew := in.Networks.Renew(e); anew {
			c.Network.Endpoints = slices.Clone(c.Network.Endpoints)
			c.Network.Endpoints[i], changed = e, true
		}
	}
	return changed
}
