package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"ctr/internal/durable"
	"ctr/network/ipam"
	"ctr/network/rtnl"
)

// maxDefaultBridges is how many installations may share a host.
const maxDefaultBridges = 64

// predefined are the networks that always exist, the default bridge first.
var predefined = []Spec{
	{Name: "bridge", Driver: "bridge", IPv4: true},
	{Name: "host", Driver: "host", IPv4: true},
	{Name: "none", Driver: "null", IPv4: true},
}

// makePredefined makes the records of the predefined networks that are missing. The subnet of the default bridge is chosen
// here, the first time that anybody asks.
func (n *Networks) makePredefined() error {
	missing := func() []Spec {
		var m []Spec
		for _, s := range predefined {
			id, err := os.Readlink(n.namePath(s.Name))
			if err == nil {
				_, err = os.Stat(n.recordPath(id))
			}
			if err != nil {
				m = append(m, s)
			}
		}
		return m
	}
	if len(missing()) == 0 {
		return nil
	}
	unlock, err := durable.Lock(n.config.Data)
	if err != nil {
		return err
	}
	defer unlock()
	for _, s := range missing() {
		create := n.create
		if s.Name == "bridge" {
			create = n.createDefault
		}
		if _, err := create(s); err != nil {
			return fmt.Errorf("make network %s: %w", s.Name, err)
		}
	}
	return nil
}

// createDefault makes the record of the default bridge. Where another installation has ctr0 on this host, it takes ctr1, and
// so on.
func (n *Networks) createDefault(s Spec) (Spec, error) { return chooseDefault(s, n.create) }

// chooseDefault tries the names of default bridges until one is free.
func chooseDefault(s Spec, try func(Spec) (Spec, error)) (made Spec, err error) {
	for i := range maxDefaultBridges {
		name := fmt.Sprintf("ctr%d", i)
		s.Options = map[string]string{OptBridgeName: name}
		made, err = try(s)
		if !errors.Is(err, ErrExists) {
			break
		}
	}
	return made, err
}

// ensureDefault makes the device of the default bridge if it is missing. If, by then, the host uses its name or its subnet for
// something else, and no container is on it, others are chosen. That and the making are one step: to whoever comes at the same
// time, the route of the device that was just made would look like somebody else's.
func (n *Networks) ensureDefault(c *rtnl.Conn, s Spec) (Spec, device, error) {
	if l, err := c.Link(s.Bridge); err == nil && l.Alias == mark(n.config.Tag, s.ID) {
		d, err := n.ensureDevice(c, s)
		return s, d, err
	}
	unlock, err := durable.Lock(n.config.Data)
	if err != nil {
		return s, device{}, err
	}
	defer unlock()
	if s, err = n.read(s.ID); err != nil {
		return s, device{}, err
	}
	clash, err := n.clashes(c, s)
	if err != nil {
		return s, device{}, err
	}
	if clash {
		if s, err = n.redefine(c, s); err != nil {
			return s, device{}, err
		}
	}
	d, err := n.ensureDevice(c, s)
	return s, d, err
}

// clashes tells whether the host uses the name or the subnet of the default bridge, which has no device, for something else,
// and nobody is on the network.
func (n *Networks) clashes(c *rtnl.Conn, s Spec) (bool, error) {
	l, err := c.Link(s.Bridge)
	switch {
	case err == nil && bridge{}.recognise(l, s, n.config.Tag):
		return false, nil
	case err != nil && !errors.Is(err, rtnl.ErrNotFound):
		return false, err
	}
	clash := err == nil
	hosts, err := n.reserved(c)
	if err != nil {
		return false, err
	}
	for _, sub := range s.Subnets {
		clash = clash || firstOverlap(sub.Prefix, hosts) != nil
	}
	if !clash {
		return false, nil
	}
	live, _, err := n.users(s.ID)
	return len(live) == 0, err
}

// redefine chooses the device's name and the subnets of the default bridge anew, and writes them down.
func (n *Networks) redefine(c *rtnl.Conn, s Spec) (Spec, error) {
	if err := n.removeDevice(s); err != nil {
		return s, err
	}
	others, err := n.list()
	if err != nil {
		return s, err
	}
	others = slices.DeleteFunc(others, func(o Spec) bool { return o.ID == s.ID })
	s, err = chooseDefault(s, func(s Spec) (Spec, error) {
		s.Subnets = nil
		err := errors.Join(bridge{}.check(c, &s), sharesParent(s, others))
		if err == nil {
			err = n.chooseSubnets(c, &s, others)
		}
		return s, err
	})
	if err != nil {
		return s, err
	}
	return s, n.write(s)
}

// Remove removes a network that no container uses: its device, its rules, its records. It returns ErrNotFound,
// ErrPredefined, or ErrInUse in an error that names the users.
func (n *Networks) Remove(ctx context.Context, ref string) error {
	s, err := n.Find(ref)
	if err != nil {
		return err
	}
	if Predefined(s.Name) {
		return fmt.Errorf("%s is a %w and cannot be removed", s.Name, ErrPredefined)
	}
	unlock, err := durable.Lock(n.config.Data)
	if err != nil {
		return err
	}
	defer unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	return n.remove(s)
}

// remove removes a network. The caller holds the lock.
//
// The record is hidden before the users are counted: a container that takes a lease looks for the record afterwards, so that
// one of the two sees the other.
func (n *Networks) remove(s Spec) error {
	hidden := n.recordPath(s.ID) + ".removing"
	if err := os.Rename(n.recordPath(s.ID), hidden); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove network %s: %w", s.Name, err)
	}
	live, dead, err := n.users(s.ID)
	if err == nil && len(live) > 0 {
		err = inUse(s, live)
	}
	if err != nil {
		return errors.Join(err, os.Rename(hidden, n.recordPath(s.ID)))
	}
	errs := []error{n.sweepSandboxes(dead), n.removeDevice(s), n.forget(s.ID, s.Name)}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove network %s: %w", s.Name, err)
	}
	return nil
}

// inUse returns the error that names who uses a network, as Docker does.
func inUse(s Spec, live []ipam.Lease) error {
	var users []string
	seen := map[string]bool{}
	for _, l := range live {
		if !seen[l.ID] {
			seen[l.ID] = true
			users = append(users, fmt.Sprintf("name:%q id:\"%.12s\"", l.Name, l.ID))
		}
	}
	return fmt.Errorf("error while removing network: network %s has %w (%s)", s.Name, ErrInUse, strings.Join(users, ", "))
}

// users returns the live and the dead leases of a network.
func (n *Networks) users(id string) (live, dead []ipam.Lease, err error) {
	all, err := n.leases(id).List()
	for _, l := range all {
		if l.Alive() {
			live = append(live, l)
		} else {
			dead = append(dead, l)
		}
	}
	return live, dead, err
}

// Users returns the live endpoints of a network, the ID of which is given. Those that end meanwhile may be missing.
func (n *Networks) Users(id string) ([]User, error) {
	live, _, err := n.users(id)
	if err != nil {
		return nil, err
	}
	var users []User
	seen := map[string]bool{}
	for _, l := range live {
		if seen[l.ID] {
			continue
		}
		seen[l.ID] = true
		r, err := ReadRecord(l.Record)
		if err != nil || r.Spec.ID != l.ID {
			continue // it is being set up, or taken down
		}
		for _, e := range r.Endpoints {
			if e.Network == id {
				users = append(users, User{ID: l.ID, Name: l.Name, Endpoint: e})
			}
		}
	}
	return users, nil
}

// Reset removes everything of this installation from this host: devices, rules, names in NetnsDir, records. Containers must
// have ended.
func (n *Networks) Reset(ctx context.Context) error {
	unlock, err := durable.Lock(n.config.Data)
	if err != nil {
		return err
	}
	defer unlock()
	all, err := n.list()
	errs := []error{err}
	for _, s := range all {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, err)...)
		}
		live, dead, err := n.users(s.ID)
		errs = append(errs, err, n.sweepSandboxes(dead))
		if err == nil && len(live) > 0 {
			errs = append(errs, inUse(s, live))
			continue
		}
		errs = append(errs, n.removeDevice(s), n.forget(s.ID, s.Name))
	}
	errs = append(errs, n.onHost(func(c *rtnl.Conn) error { return n.sweepLinks(c, true) }), n.firewall.Reset())
	return errors.Join(errs...)
}
