package network

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"ctr/internal/durable"
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
		err := errors.Join(bridge{}.check(c, &s), sharesLink(s, others))
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
