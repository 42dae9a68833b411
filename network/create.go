package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"ctr/internal/durable"
	"ctr/network/firewall"
	"ctr/network/rtnl"
)

// Create makes a network of what the user asked for: Name, Driver, Internal, and IPv4, IPv6, Subnets, Labels, Options or the
// ConfigFrom that has them. It chooses the rest, makes the network's device, and returns the whole Spec. On error nothing is left
// behind. It returns ErrExists, ErrOverlap, ErrUnsupported, ErrPredefined or ErrInvalid where they apply.
func (n *Networks) Create(ctx context.Context, s Spec) (Spec, error) {
	if Predefined(s.Name) || s.Name == "default" {
		return Spec{}, fmt.Errorf("operation is not permitted on %w %s", ErrPredefined, s.Name)
	}
	if s.ConfigOnly {
		s.Driver = "null" // as in Docker, whatever driver is asked for
		if err := s.checkConfiguration(); err != nil {
			return Spec{}, err
		}
	} else if s.Driver == "host" || s.Driver == "null" || s.Driver == "none" {
		return Spec{}, fmt.Errorf("%w: only one instance of network driver %q is allowed", ErrPredefined, s.Driver)
	}
	if s.Driver == "" {
		s.Driver = "bridge"
	}
	if s.ConfigFrom != "" {
		if err := n.configure(&s); err != nil {
			return Spec{}, err
		}
	}
	if err := s.validate(); err != nil {
		return Spec{}, err
	}
	// What is missing now would take its subnet later.
	if err := n.makePredefined(); err != nil {
		return Spec{}, err
	}
	unlock, err := durable.Lock(n.config.Data)
	if err != nil {
		return Spec{}, err
	}
	defer unlock()
	if err := ctx.Err(); err != nil {
		return Spec{}, err
	}
	return n.create(s)
}

// create makes a network that was validated. The caller holds the lock.
func (n *Networks) create(s Spec) (_ Spec, err error) {
	s.Version, s.ID, s.Created = SpecVersion, newID(), time.Now().UTC()
	if id, err := os.Readlink(n.namePath(s.Name)); err == nil {
		if _, err := n.read(id); err == nil {
			return Spec{}, fmt.Errorf("network with name %s %w", s.Name, ErrExists)
		}
		// The rest of a creation or a removal that was killed.
		if err := n.forget(id, s.Name); err != nil {
			return Spec{}, err
		}
	}
	d, err := driverOf(s.Driver)
	if err != nil {
		return Spec{}, err
	}
	if s.IPv6 && !haveIPv6() {
		return Spec{}, fmt.Errorf("IPv6 is %w by this kernel, or switched off at boot", ErrUnsupported)
	}
	others, err := n.list()
	if err != nil && !errors.Is(err, durable.ErrDamaged) {
		return Spec{}, err // one that is damaged is no reason to refuse another
	}
	if err := sharesLink(s, others); err != nil {
		return Spec{}, err
	}
	err = n.onHost(func(c *rtnl.Conn) error {
		if err := n.sweepLinks(c, false); err != nil {
			return err
		}
		if err := d.check(c, &s); err != nil {
			return err
		}
		return n.chooseSubnets(c, &s, others)
	})
	if err != nil {
		return Spec{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.forget(s.ID, s.Name))
		}
	}()
	// The record comes last: without it a name leads to nothing, and by its folder Sweep finds what was begun.
	if err := os.MkdirAll(n.dataDir(s.ID), 0o700); err != nil {
		return Spec{}, fmt.Errorf("make network: %w", err)
	}
	if err := os.Symlink(s.ID, n.namePath(s.Name)); err != nil {
		return Spec{}, fmt.Errorf("name network: %w", err)
	}
	if err := n.write(s); err != nil {
		return Spec{}, err
	}
	// The device of the default bridge is made by its first container, a configuration has none.
	if s.Name == "bridge" || s.ConfigOnly {
		return s, nil
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.removeDevice(s))
		}
	}()
	return s, n.Ensure(s)
}

// sharesLink refuses a second network on a link of the host: the two would not be kept apart.
func sharesLink(s Spec, others []Spec) error {
	for _, o := range others {
		if s.ConfigOnly || o.ConfigOnly {
			continue
		}
		if p := s.Options[OptParent]; p != "" && p == o.Options[OptParent] {
			return fmt.Errorf("%w: network %s is already using parent interface %s", ErrInvalid, o.Name, p)
		}
		if b := cmp.Or(s.Bridge, s.Options[OptBridgeName]); b != "" && b == o.Bridge {
			return fmt.Errorf("bridge %s %w: network %s has it", b, ErrExists, o.Name)
		}
	}
	return nil
}

// write writes the record of a network, and its folders.
func (n *Networks) write(s Spec) error {
	if err := os.MkdirAll(n.dataDir(s.ID), 0o700); err != nil {
		return fmt.Errorf("write network: %w", err)
	}
	return durable.WriteJSON(n.recordPath(s.ID), s, durable.Fsync)
}

// forget removes the records of a network. Its name goes first, so that nobody finds it half gone, and the folder by which Sweep
// finds what was begun goes last.
func (n *Networks) forget(id, name string) error {
	var errs []error
	if held, err := os.Readlink(n.namePath(name)); err == nil && held == id {
		errs = append(errs, os.Remove(n.namePath(name)))
	}
	return errors.Join(append(errs, os.RemoveAll(n.runDir(id)), os.RemoveAll(n.dataDir(id)))...)
}

// Ensure makes what is missing of a network in the kernel: its device, its rules. Where all is there it costs a few
// look-ups.
func (n *Networks) Ensure(s Spec) error {
	err := n.onHost(func(c *rtnl.Conn) (err error) {
		s, _, err = n.ensure(c, s)
		return err
	})
	if err != nil {
		return err
	}
	return n.ensureRules(s, false)
}

// ensure makes the device of a network if it is missing. It returns the network as it is now: only the default bridge may have
// changed.
func (n *Networks) ensure(c *rtnl.Conn, s Spec) (Spec, device, error) {
	if s.Name == "bridge" {
		return n.ensureDefault(c, s)
	}
	d, err := n.ensureDevice(c, s)
	return s, d, err
}

// ensureDevice makes the device of a network if it is missing, and the folders of its leases and names, which a reboot takes.
func (n *Networks) ensureDevice(c *rtnl.Conn, s Spec) (device, error) {
	for _, dir := range []string{n.leases(s.ID).Dir, n.zone(s.ID).Dir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return device{}, err
		}
	}
	d, err := driverOf(s.Driver)
	if err != nil {
		return device{}, err
	}
	made, err := d.ensure(c, s, n.config.Tag)
	if err == nil && made.made {
		err = n.reattach(c, s, made)
	}
	return made, err
}

// reattach makes the ends of live containers' veth pairs ports of a bridge that has been made again, or that somebody took
// them from.
func (n *Networks) reattach(c *rtnl.Conn, s Spec, d device) error {
	users, err := n.Users(s.ID)
	if err != nil || s.Bridge == "" {
		return err
	}
	for _, u := range users {
		port, err := c.Link(u.Endpoint.HostSide)
		if err != nil || port.Alias != mark(n.config.Tag, u.ID) {
			continue // its namespace is gone
		}
		mac, err := net.ParseMAC(u.Endpoint.MAC)
		if err != nil {
			continue // its record was read before its MAC was chosen: it is being set up, on the bridge that is there by now
		}
		if port.Master != d.index {
			if err := c.SetMaster(port.Index, d.index); err != nil {
				return err
			}
		}
		if err := c.SetUp(port.Index); err != nil {
			return err
		}
		u.Endpoint.HostIndex = port.Index
		if err := (bridge{}).setUpPort(c, s, d, &u.Endpoint, mac); err != nil {
			return err
		}
		if err := c.AwaitWorking(port.Index); err != nil {
			return err
		}
	}
	return nil
}

// ensureRules makes the firewall's rules of a network if they are missing, and those of everybody else if somebody has removed
// them all. Nobody is on the network unless used is true.
func (n *Networks) ensureRules(s Spec, used bool) error {
	f, err := n.rulesOf(s)
	if err != nil || f.Bridge == "" {
		return err
	}
	f.Idle = !used
	if used {
		if err := n.awaitGates(s.ID); err != nil {
			return err
		}
	}
	fresh, err := n.firewall.AddNetwork(f)
	if err != nil || !fresh {
		return err
	}
	return n.restoreRules(s.ID)
}

// rules returns what the firewall has to know of a network.
func (s Spec) rules() (firewall.Network, error) {
	o, err := s.options()
	f := firewall.Network{Bridge: s.Bridge, Internal: s.Internal, NoICC: o.noICC, NoMasquerade: o.noMasquerade, Trusted: o.trusted}
	for _, sub := range s.Subnets {
		f.Prefixes = append(f.Prefixes, sub.Prefix)
		switch o.gateway(sub.Prefix.Addr().Is6()) {
		case gatewayRouted:
			f.Routed = append(f.Routed, sub.Prefix)
		case gatewayUnprotected:
			f.Unprotected = append(f.Unprotected, sub.Prefix)
		}
	}
	for _, p := range s.bridgeAddrs() {
		f.Gateways = append(f.Gateways, p.Addr())
	}
	return f, err
}

// removeDevice removes what Ensure made. What is gone is good.
func (n *Networks) removeDevice(s Spec) error {
	d, err := driverOf(s.Driver)
	if err != nil {
		return err
	}
	err = n.onHost(func(c *rtnl.Conn) error { return d.remove(c, s, n.config.Tag) })
	if s.Bridge != "" {
		err = errors.Join(err, n.firewall.RemoveNetwork(s.Bridge))
	}
	return err
}
