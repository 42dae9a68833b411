package network

import (
	"errors"
	"slices"

	"ctr/network/netns"
	"ctr/network/rtnl"
)

// checkPort looks at the host's end of an endpoint's veth pair.
func (s *survey) checkPort(c *rtnl.Conn, r *Record, e Endpoint, found func(Endpoint, bool, string, ...any)) error {
	i := slices.IndexFunc(s.specs, func(one Spec) bool { return one.ID == e.Network })
	if e.HostSide == "" || i < 0 {
		return nil
	}
	one := s.specs[i]
	port, err := c.Link(e.HostSide)
	if errors.Is(err, rtnl.ErrNotFound) || err == nil && port.Alias != mark(s.config.Tag, r.Spec.ID) {
		found(e, false, "%s, its end of network %s in the host, is gone, and its %s with it: restart the container", e.HostSide, e.Name, e.Interface)
		return nil
	}
	if err != nil {
		return err
	}
	device, err := c.Link(one.Bridge)
	switch {
	case errors.Is(err, rtnl.ErrNotFound) || err == nil && port.Master != device.Index:
		found(e, true, "%s is not a port of bridge %s", e.HostSide, one.Bridge)
		return nil
	case err != nil:
		return err
	case !port.Up:
		found(e, true, "%s is down", e.HostSide)
	}
	s.checkEntries(e, port.Index, found)
	if err := s.checkInside(r, e, one, found); err != nil {
		return err
	}
	if o, err := one.options(); err != nil || !o.noICC {
		return err
	}
	apart, err := c.Isolated(port.Index)
	if err == nil && !apart {
		found(e, true, "%s is not isolated from the other ports of %s", e.HostSide, one.Bridge)
	}
	return err
}

// checkEntries looks at what the bridge and the host were told about who is behind a port (bridge.setUpPort).
func (s *survey) checkEntries(e Endpoint, port int, found func(Endpoint, bool, string, ...any)) {
	if !slices.Contains(s.forwarding[port], e.MAC) {
		found(e, true, "bridge %s lacks the forwarding entry of %s at %s", e.Bridge, e.MAC, e.HostSide)
	}
	for _, p := range e.prefixes() {
		if s.neighbours[e.Network][p.Addr()] != e.MAC {
			found(e, true, "the host lacks the neighbour entry of %s at %s on %s", p.Addr(), e.MAC, e.Bridge)
		}
	}
}

// inside is what an endpoint's interface looks like from its container, where somebody may have changed it.
func (r *Record) inside(e Endpoint, look func(c *rtnl.Conn, index int) error) error {
	return r.within(func(ns *netns.Handle) error {
		c, err := rtnl.Dial(ns)
		if err != nil {
			return err
		}
		defer c.Close()
		l, err := c.Link(e.Interface)
		if errors.Is(err, rtnl.ErrNotFound) {
			return nil // a container with NET_ADMIN may give it another name
		}
		if err != nil {
			return err
		}
		return look(c, l.Index)
	})
}

// checkInside looks at what an endpoint was told about its gateways (bridge.meetGateway).
func (s *survey) checkInside(r *Record, e Endpoint, one Spec, found func(Endpoint, bool, string, ...any)) error {
	return r.inside(e, func(c *rtnl.Conn, index int) error {
		told, err := c.Neighbours(index)
		if err != nil {
			return err
		}
		mac := bridgeMAC(one).String()
		for _, gateway := range e.gatewayAddrs() {
			if one.isGateway(gateway) && told[gateway] != mac {
				found(e, true, "it lacks the neighbour entry of its gateway %s at %s on %s", gateway, mac, e.Interface)
			}
		}
		return nil
	})
}

// cureInside does meetGateway again, and leads to the resolver.
func (s *survey) cureInside(r *Record) error {
	errs := []error{r.within(r.redirect)}
	for _, e := range r.Endpoints {
		i := slices.IndexFunc(s.specs, func(one Spec) bool { return one.ID == e.Network })
		if e.HostSide == "" || i < 0 {
			continue
		}
		errs = append(errs, r.inside(e, func(c *rtnl.Conn, index int) error {
			return bridge{}.meetGateway(c, &attachment{network: s.specs[i], index: index, Endpoint: &e})
		}))
	}
	return errors.Join(errs...)
}
