package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"ctr/network"
	"ctr/runtime/container"
	"ctr/runtime/events"
)

// The networks that are none, in Docker's words.
var (
	errSharedNetwork = errors.New("container sharing network namespace with another container or host cannot be connected to any other network")
	errHostNetwork   = errors.New("container cannot be disconnected from host network or connected to host network")
	errNoNetwork     = errors.New("container cannot be connected to multiple networks with one of the networks in private (none) mode")
)

// Connect connects a container to a network, by its name or ID, also while it runs: then the interface is there, and all that
// depends on it has followed, when Connect returns. It returns warnings for the user. On error all is as before.
func (in *Installation) Connect(ctx context.Context, c *container.Container, e network.EndpointSpec) (warnings []string, err error) {
	s, err := in.Networks.Find(e.Network)
	if err != nil {
		return nil, err
	}
	e.Network, e.Name = s.ID, s.Name
	err = in.change(ctx, c, func(live *network.Live) error {
		if err := mayConnect(c, s); err != nil {
			return err
		}
		n := &c.Network
		if slices.ContainsFunc(n.Endpoints, func(o network.EndpointSpec) bool { return o.On(s) }) {
			return fmt.Errorf("endpoint with name %s %w in network %s", c.Name, network.ErrExists, s.Name)
		}
		n.Endpoints = append(slices.Clone(n.Endpoints), e)
		if live != nil {
			if live.On(s.ID) { // by a command that was killed
				if err := live.Disconnect(s); err != nil {
					return err
				}
			}
			err := live.Connect(ctx, e)
			warnings = live.Warnings
			return err
		}
		return in.Networks.CheckSandbox(network.SandboxSpec{ID: c.ID, Name: c.Name, Endpoints: n.Endpoints, Dir: c.Dir, Record: c.SandboxPath()})
	})
	if err == nil {
		in.NotifyOf(events.Network, "connect", s.ID, "container", c.ID, "name", s.Name, "type", s.Driver)
	}
	return warnings, err
}

// mayConnect refuses combinations of networks that there cannot be.
func mayConnect(c *container.Container, s network.Spec) error {
	mode := c.Network.Mode
	_, joins := mode.Container()
	_, elsewhere := mode.Path()
	switch {
	case joins, elsewhere, mode == container.ModeHost && s.Driver != "host":
		return errSharedNetwork
	case s.Name == "host":
		return errHostNetwork
	case s.Name == "none", mode == container.ModeNone:
		return errNoNetwork
	}
	return nil
}

// Disconnect takes a container off a network, by its name or ID, also while it runs. With force, a network that is gone is no
// reason to fail.
func (in *Installation) Disconnect(ctx context.Context, c *container.Container, ref string, force bool) error {
	s, err := in.Networks.Find(ref)
	if errors.Is(err, network.ErrNotFound) && force {
		s, err = network.Spec{ID: ref, Name: ref}, nil
	}
	if err != nil {
		return err
	}
	err = in.change(ctx, c, func(live *network.Live) error {
		n := &c.Network
		switch {
		case n.Mode == container.ModeHost && s.Name == "host":
			return errHostNetwork
		case n.Mode == container.ModeNone && s.Name == "none":
			n.Mode = container.ModePrivate // and may be connected to others from now on
			return nil
		}
		i := slices.IndexFunc(n.Endpoints, func(e network.EndpointSpec) bool {
			return e.On(s) || force && len(s.ID) >= 12 && strings.HasPrefix(e.Network, s.ID)
		})
		// A command that was killed may have left the one without the other.
		on := live != nil && live.On(s.ID)
		if i < 0 && !on {
			return network.NotConnected(c.ID, s.Name)
		}
		if i >= 0 {
			n.Endpoints = slices.Delete(slices.Clone(n.Endpoints), i, i+1)
		}
		if !on {
			return nil
		}
		return live.Disconnect(s)
	})
	if err == nil {
		in.NotifyOf(events.Network, "disconnect", s.ID, "container", c.ID, "name", s.Name, "type", s.Driver)
	}
	return err
}

// ChangePorts publishes ports of a container no more, and then others, also while it runs, and returns warnings for the user.
// Of what is to go, a zero host port, address or protocol stands for any; it is an error if there is none. On error all is as
// before.
func (in *Installation) ChangePorts(ctx context.Context, c *container.Container, remove, add []network.Port) (warnings []string, err error) {
	err = in.change(ctx, c, func(live *network.Live) error {
		gone, err := unpublish(c, live, remove)
		if err != nil || len(add) == 0 {
			return err
		}
		if warnings, err = publish(c, live, add); err != nil && live != nil && len(gone) > 0 {
			err = errors.Join(err, live.Publish(gone))
		}
		return err
	})
	return warnings, err
}

// publish adds ports to a container's spec, and to its sandbox, if it has one.
func publish(c *container.Container, live *network.Live, add []network.Port) (warnings []string, err error) {
	if err := mayPublish(c); err != nil {
		return nil, err
	}
	all := slices.Concat(c.Network.Ports, add)
	if live != nil {
		err = live.Publish(add)
		warnings = live.Warnings
	} else {
		err = network.CheckPorts(all)
	}
	c.Network.Ports = all
	return warnings, err
}

// mayPublish refuses ports of a container that has no network to publish them from.
func mayPublish(c *container.Container) error {
	mode := c.Network.Mode
	_, joins := mode.Container()
	switch {
	case joins:
		return errors.New("conflicting options: port publishing and the container type network mode")
	case mode != container.ModePrivate:
		return fmt.Errorf("conflicting options: port publishing and the network %s", mode)
	}
	return nil
}

// unpublish takes ports from a container's spec, and from its sandbox, if it has one, and returns them.
func unpublish(c *container.Container, live *network.Live, which []network.Port) (gone []network.Port, err error) {
	if len(which) == 0 {
		return nil, nil
	}
	have := c.Network.Ports
	if live != nil {
		have = live.Record.Ports
	}
	asked := map[network.Expose][]int{} // places in which, by what of the container is published
	for i, w := range which {
		asked[w.Expose()] = append(asked[w.Expose()], i)
	}
	found := make([]bool, len(which))
	chosen := func(p network.Port) (yes bool) {
		for _, i := range asked[p.Expose()] {
			if matches(p, which[i]) {
				found[i], yes = true, true
			}
		}
		return yes
	}
	for _, p := range have {
		chosen(p)
	}
	if i := slices.Index(found, false); i >= 0 {
		return nil, noSuchPort(c, have, which[i])
	}
	if live == nil {
		c.Network.Ports = slices.DeleteFunc(slices.Clone(have), chosen)
		return nil, nil
	}
	gone, err = live.Unpublish(chosen)
	c.Network.Ports = slices.Clone(live.Record.Spec.Ports)
	return gone, err
}

// noSuchPort says that a port is not published, or not where the user says.
func noSuchPort(c *container.Container, have []network.Port, w network.Port) error {
	err := fmt.Errorf("no public port '%d/%s' published for %s", w.ContainerPort, w.Protocol, c.Name)
	if w.HostPort == 0 || !slices.ContainsFunc(have, func(p network.Port) bool {
		return matches(p, network.Port{Protocol: w.Protocol, ContainerPort: w.ContainerPort})
	}) {
		return err
	}
	host := ":" + strconv.Itoa(int(w.HostPort))
	if w.HostIP.IsValid() {
		host = netip.AddrPortFrom(w.HostIP, w.HostPort).String()
	}
	if w.HostIP = (netip.Addr{}); slices.Contains(have, w) {
		return fmt.Errorf("%w on %s alone: %d:%d is on all addresses", err, host, w.HostPort, w.ContainerPort)
	}
	return fmt.Errorf("%w on %s", err, host)
}

// matches tells whether a published port is the one that is asked for.
func matches(p, asked network.Port) bool {
	return p.ContainerPort == asked.ContainerPort && p.Protocol == asked.Protocol &&
		(asked.HostPort == 0 || p.HostPort == asked.HostPort) && (!asked.HostIP.IsValid() || p.HostIP == asked.HostIP)
}

// Rename gives a container another name, also one that runs: the other containers find it by the new one, and no more by the
// old one, when it returns.
func (in *Installation) Rename(ctx context.Context, c *container.Container, name string) error {
	if name == c.Name {
		return errors.New("Renaming a container with the same name as its current name") //nolint:staticcheck // Docker's words
	}
	old := c.Name
	err := in.change(ctx, c, func(live *network.Live) error {
		if err := in.Containers.Rename(c, name); err != nil || live == nil {
			return err
		}
		if err := live.Rename(name); err != nil {
			return errors.Join(err, live.Rename(old), in.Containers.Rename(c, old))
		}
		return nil
	})
	if err == nil {
		in.Notify(c, "rename", "oldName", "/"+old) // with Docker's slash
	}
	return err
}
