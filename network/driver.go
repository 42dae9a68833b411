package network

import (
	"fmt"

	"ctr/network/netns"
	"ctr/network/rtnl"
)

// driver makes the kernel's side of one kind of networks. Its methods are called on a thread that is in the host, with a
// connection to it, and find what is done already good.
type driver interface {
	// check completes a spec that is to be created, and refuses what the driver cannot do. It only looks.
	check(c *rtnl.Conn, s *Spec) error
	// ensure makes the devices of the network that are missing, and returns what attach needs.
	ensure(c *rtnl.Conn, s Spec, tag string) (device, error)
	// attach makes the endpoint's interface, down, in the namespace, and returns its index there.
	attach(c *rtnl.Conn, s Spec, d device, e *Endpoint, ns *netns.Handle, mark string) (index int, err error)
	// remove removes what ensure made.
	remove(c *rtnl.Conn, s Spec, tag string) error
}

// device is the link of the host that a network's endpoints hang on.
type device struct {
	index int
	mtu   int
	made  bool // it was missing: what hung on it before hangs on nothing now
}

// driverOf returns a driver by its name.
func driverOf(name string) (driver, error) {
	switch name {
	case "bridge":
		return bridge{}, nil
	case "macvlan":
		return macvlanDriver, nil
	case "ipvlan":
		return ipvlanDriver, nil
	case "host", "null":
		return nothing{}, nil
	case "overlay":
		return nil, fmt.Errorf("network driver %q is %w yet", name, ErrUnsupported)
	}
	return nil, withHint(fmt.Errorf("network driver %q is %w", name, ErrUnsupported),
		"the drivers are bridge, macvlan and ipvlan")
}

// nothing is the driver of the networks host and none, which have no endpoints.
type nothing struct{}

var _ driver = nothing{}

func (nothing) check(*rtnl.Conn, *Spec) error { return nil }

func (nothing) ensure(*rtnl.Conn, Spec, string) (device, error) { return device{}, nil }

func (nothing) attach(_ *rtnl.Conn, s Spec, _ device, _ *Endpoint, _ *netns.Handle, _ string) (int, error) {
	return 0, fmt.Errorf("%w: network %q has no endpoints", ErrInvalid, s.Name)
}

func (nothing) remove(*rtnl.Conn, Spec, string) error { return nil }
