package network

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/network/netns"
	"ctr/network/rtnl"
)

// below is what the drivers have in common whose endpoints hang on a link of the host, the parent.
type below struct {
	config string   // the kernel's option
	option string   // that chooses the mode
	modes  []string // the first one is the default
}

func (b below) check(c *rtnl.Conn, s *Spec) error {
	o, err := s.options()
	if err != nil {
		return err
	}
	if o.mode != "" && !slices.Contains(b.modes, o.mode) {
		last := len(b.modes) - 1
		return fmt.Errorf("%w %s=%q: want %s or %s", ErrInvalid, b.option, o.mode, strings.Join(b.modes[:last], ", "), b.modes[last])
	}
	if err := checkParent(c, s, o); err != nil {
		return err
	}
	if has, tried := probeKinds()[s.Driver]; tried && !has {
		return fmt.Errorf("network driver %q is %w by this kernel: it lacks %s", s.Driver, ErrUnsupported, b.config)
	}
	return nil
}

// checkParent checks that the link which a macvlan or ipvlan network hangs on is there, or can be made.
func checkParent(c *rtnl.Conn, s *Spec, o options) error {
	parent := o.parent
	if parent == "" {
		return withHint(fmt.Errorf("%w: driver %s needs -o parent=LINK", ErrInvalid, s.Driver),
			"LINK is a link of this host, or LINK.ID for a VLAN of it")
	}
	found, err := c.Link(parent)
	if errors.Is(err, rtnl.ErrNotFound) {
		link, _, malformed := vlanOf(parent)
		switch {
		case link == "":
			return fmt.Errorf("%w: parent: %w", ErrInvalid, err)
		case malformed != nil:
			return fmt.Errorf("%w: parent %q: %w", ErrInvalid, parent, malformed)
		}
		if found, err = c.Link(link); err != nil {
			return fmt.Errorf("%w: parent of VLAN %q: %w", ErrInvalid, parent, err)
		}
	}
	switch {
	case err != nil:
		return err
	case found.Loopback:
		return fmt.Errorf("%w: the loopback interface %s cannot be the parent of a network", ErrInvalid, found.Name)
	case o.mtu > found.MTU:
		return fmt.Errorf("%w %s=%q: %s has an MTU of %d", ErrInvalid, OptMTU, s.Options[OptMTU], found.Name, found.MTU)
	case s.IPv6 && found.MTU < minMTU6:
		return fmt.Errorf("%w: %s has an MTU of %d: IPv6 needs %d at least", ErrInvalid, found.Name, found.MTU, minMTU6)
	}
	return nil
}

// maxVLAN is the highest number of a VLAN (IEEE 802.1Q).
const maxVLAN = 4094

// vlanOf splits the name of a VLAN's link: eth0.20 is VLAN 20 of eth0. The link of any other name is empty, and a number that no
// VLAN has is an error.
func vlanOf(name string) (link string, id int, err error) {
	i := strings.LastIndexByte(name, '.')
	if i <= 0 {
		return "", 0, nil
	}
	if id, err = strconv.Atoi(name[i+1:]); err != nil {
		return "", 0, nil //nolint:nilerr // a link may have any name
	}
	if id < 1 || id > maxVLAN {
		return name[:i], 0, fmt.Errorf("VLANs are numbered from 1 to %d", maxVLAN)
	}
	return name[:i], id, nil
}

// ensure looks up the parent of a network, and makes it if it is a VLAN's link that is missing.
func (below) ensure(c *rtnl.Conn, s Spec, tag string) (device, error) {
	o, err := s.options()
	if err != nil {
		return device{}, err
	}
	found, err := c.Link(o.parent)
	if errors.Is(err, rtnl.ErrNotFound) {
		found, err = makeVLAN(c, o.parent, mark(tag, s.ID))
	}
	if err != nil {
		return device{}, fmt.Errorf("parent of network %s: %w", s.Name, err)
	}
	if !found.Up {
		if err := c.SetUp(found.Index); err != nil {
			return device{}, err
		}
	}
	mtu := o.mtu
	if mtu == 0 {
		mtu = found.MTU
	}
	return device{index: found.Index, mtu: mtu}, nil
}

// makeVLAN makes the link of a VLAN, with our mark, so that it goes when the network does.
func makeVLAN(c *rtnl.Conn, name, mark string) (rtnl.Link, error) {
	on, id, err := vlanOf(name)
	if on == "" || err != nil {
		return rtnl.Link{}, fmt.Errorf("link %q: %w", name, rtnl.ErrNotFound)
	}
	parent, err := c.Link(on)
	if err != nil {
		return rtnl.Link{}, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = name, parent.Index
	err = c.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: id, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
	if errors.Is(err, unix.EOPNOTSUPP) {
		return rtnl.Link{}, fmt.Errorf("make VLAN %s: %w by this kernel: it lacks CONFIG_VLAN_8021Q", name, ErrUnsupported)
	}
	if err != nil {
		return rtnl.Link{}, fmt.Errorf("make VLAN %s: %w", name, err)
	}
	made, err := c.Link(name)
	if err != nil {
		return rtnl.Link{}, err
	}
	return made, c.SetAlias(made.Index, mark)
}

// How long the kernel is given to take down what a container had that has ended. It has one worker for all namespaces, which
// may have hundreds to go. Nobody else has an address that we lease; a parent may well be in use for something else.
const (
	buryAddress = 10 * time.Second
	buryLink    = 3 * time.Second
)

// untilBuried repeats what fails because something is in use, which a container that has just ended may have had. A worker of
// the kernel takes down its namespace, and the links in it, some time after its last process has ended; nothing tells when.
func untilBuried(limit time.Duration, do func() error, taken ...unix.Errno) error {
	for begun := time.Now(); ; <-time.After(2 * time.Millisecond) {
		err := do()
		inUse := func(errno unix.Errno) bool { return errors.Is(err, errno) }
		if err == nil || !slices.ContainsFunc(taken, inUse) || time.Since(begun) > limit {
			return err
		}
	}
}

// childAttrs are the attributes of an endpoint's interface that is made below a link of the host, in the container's
// namespace.
func childAttrs(d device, e *Endpoint, ns *netns.Handle) netlink.LinkAttrs {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.MTU, attrs.Namespace = e.Interface, d.index, d.mtu, netlink.NsFd(ns.Fd())
	return attrs
}

// childIndex finds the interface that was made in the namespace, and marks it, or says why it was not made.
func (b below) childIndex(err error, s Spec, e *Endpoint, ns *netns.Handle, mark string) (int, error) {
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return 0, fmt.Errorf("make %s: %w by this kernel: it lacks %s", s.Driver, ErrUnsupported, b.config)
	case errors.Is(err, unix.EBUSY):
		return 0, fmt.Errorf("make %s: its parent is in use by a network of another kind or mode: %w", s.Driver, err)
	case err != nil:
		return 0, fmt.Errorf("make %s: %w", s.Driver, err)
	}
	inside, err := rtnl.Dial(ns)
	if err != nil {
		return 0, err
	}
	defer inside.Close()
	l, err := inside.Link(e.Interface)
	if err != nil {
		return 0, err
	}
	return l.Index, inside.SetAlias(l.Index, mark)
}

// remove removes the VLAN's link that ensure made.
func (below) remove(c *rtnl.Conn, s Spec, tag string) error {
	o, err := s.options()
	if err != nil {
		return err
	}
	found, err := c.Link(o.parent)
	if errors.Is(err, rtnl.ErrNotFound) {
		return nil
	}
	if err != nil || found.Alias != mark(tag, s.ID) {
		return err
	}
	return c.Delete(found.Index)
}
