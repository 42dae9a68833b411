package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"

	"ctr/internal/proc"
	"ctr/internal/span"
	"ctr/network/dns"
	"ctr/network/firewall"
	"ctr/network/ipam"
	"ctr/network/netns"
	"ctr/network/rtnl"
)

// Setup makes the sandbox of a container: its namespace with interfaces, addresses and routes, its leases, its resolver's
// sockets, its published ports, and the files resolv.conf, hosts and hostname. The owner is the monitor, the calling process
// as a rule: what Setup makes belongs to it until Announce.
//
// Whoever makes the rest of the container meanwhile is told of the namespace by usable, on another goroutine, as soon as a
// process may enter it and the files are there: its interfaces come later, and it is closed when Setup fails. Nil: nobody.
//
// A namespace that is there already and holds nothing but its lo may be given: one that belongs to a user namespace, for such have
// to be made inside it. The sandbox takes the handle over, on errors too. Nil: a new one is made.
//
// The record is on disk before what it names is made. On error nothing is left behind. A record of an earlier start, whose
// processes have ended, is torn down first.
func (n *Networks) Setup(ctx context.Context, s SandboxSpec, owner proc.ID, ns *netns.Handle, usable func(*netns.Handle)) (made *Sandbox, err error) {
	sandbox := &Sandbox{NetNS: ns, networks: n}
	defer func() {
		if err == nil {
			return
		}
		made, err = nil, errors.Join(err, sandbox.Close())
		if sandbox.Record != nil {
			err = errors.Join(err, n.Teardown(s.Record))
		}
	}()
	if err := s.validate(); err != nil {
		return nil, err
	}
	warnings := s.Resolver.refuseItself()
	if err := n.clear(s); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := &Record{Version: RecordVersion, Spec: s, Owner: owner}
	all, err := n.plan(s, r)
	if err != nil {
		return nil, err
	}
	sandbox.Record, sandbox.Warnings = r, warnings
	b := &building{Networks: n, Sandbox: sandbox, all: all, asks: asksResolver(all), usable: usable}
	if err := r.write(); err != nil {
		return nil, err
	}
	return b.Sandbox, b.build()
}

// clear takes down what an earlier start of the container left.
func (n *Networks) clear(s SandboxSpec) error {
	old, err := ReadRecord(s.Record)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil && old.alive() {
		return fmt.Errorf("container %s has a sandbox already", s.Name)
	}
	return n.Teardown(s.Record)
}

// building is a sandbox that is being set up.
type building struct {
	*Networks
	*Sandbox
	all    []*attachment       // in the order of the spec
	asks   bool                // the container has a resolver of its own to ask
	usable func(*netns.Handle) // nil: nobody is told
	later  []func() error      // what can wait until usable has been told
}

// build makes the sandbox. What the init needs comes first; all the rest is done while that is at work for 10 ms. More side by
// side would only take the processor from it where there are two.
func (b *building) build() error {
	making := make(chan error, 1)
	go func() { making <- b.makeNamespace() }()
	namespace := sync.OnceValue(func() error { return <-making })
	if err := b.makeHostSide(namespace); err != nil {
		_ = namespace() // nobody makes it any more
		return err
	}
	if b.asks {
		if err := b.makeResolver(); err != nil {
			return err
		}
	}
	return b.addRules()
}

// finish does what was put off.
func (b *building) finish() error {
	for _, f := range b.later {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// makeNamespace makes the container's namespace with its lo.
func (b *building) makeNamespace() (err error) {
	defer span.Begin("make namespace").End()
	if b.NetNS == nil {
		if b.NetNS, err = netns.New(); err != nil {
			return err
		}
	}
	return b.NetNS.Do(func() error {
		c, err := rtnl.DialCurrent()
		if err != nil {
			return err
		}
		defer c.Close()
		return c.SetUp(1) // lo is the first link of every namespace
	})
}

// makeResolver makes the sockets of the container's resolver, and the rules that lead to them.
func (b *building) makeResolver() (err error) {
	defer span.Begin("make resolver").End()
	if b.DNSUDP, b.DNSTCP, err = dns.Listen(b.NetNS); err != nil {
		return err
	}
	udp, ok1 := b.DNSUDP.LocalAddr().(*net.UDPAddr)
	tcp, ok2 := b.DNSTCP.Addr().(*net.TCPAddr)
	if !ok1 || !ok2 {
		panic("impossible: a UDP and a TCP socket without such addresses")
	}
	b.Record.ResolverPorts = ResolverPorts{uint16(udp.Port), uint16(tcp.Port)}
	return firewall.RedirectDNS(b.NetNS, b.Record.ResolverPorts.UDP, b.Record.ResolverPorts.TCP)
}

// asksResolver tells whether a container has a resolver of its own: it is on a network other than the default bridge.
func asksResolver(all []*attachment) bool {
	return slices.ContainsFunc(all, func(a *attachment) bool { return a.network.Name != "bridge" })
}

// makeHostSide makes all that is the host's, and, once the namespace is there, the interfaces in it.
func (b *building) makeHostSide(namespace func() error) error {
	defer span.Begin("make host side").End()
	return b.onHost(func(c *rtnl.Conn) error {
		if err := b.lease(c); err != nil {
			return err
		}
		if err := b.publish(); err != nil {
			return err
		}
		b.Record.DNS = b.dnsConfig()
		b.Sandbox.DNS = b.Record.DNS
		if err := b.writeFiles(); err != nil {
			return err
		}
		if err := namespace(); err != nil {
			return err
		}
		b.Record.NetnsFD = b.NetNS.Fd()
		if err := b.Record.write(); err != nil {
			return err
		}
		if b.usable != nil {
			b.usable(b.NetNS)
		}
		if err := errors.Join(b.finish(), b.attach(c)); err != nil {
			return err
		}
		if err := b.NetNS.Do(b.configure); err != nil {
			return err
		}
		return b.await(c)
	})
}

// await waits until the host's side passes on what the container sends, so that its first packet is not lost.
func (b *building) await(c *rtnl.Conn) error {
	defer span.Begin("await links").End()
	for _, a := range b.all {
		for _, index := range []int{a.HostIndex, a.device.index} {
			if a.HostIndex == 0 {
				continue // the parent of a macvlan or an ipvlan may well have no carrier
			}
			if err := c.AwaitWorking(index); err != nil {
				return err
			}
		}
		if err := b.introduce(a); err != nil {
			return err
		}
	}
	return nil
}

// lease makes the devices of the networks that are missing, and takes the endpoints' addresses.
func (b *building) lease(c *rtnl.Conn) error {
	defer span.Begin("lease").End()
	for _, a := range b.all {
		if err := b.ready(c, a); err != nil {
			return err
		}
		for _, family := range []struct {
			on      bool
			want    netip.Addr
			got     *netip.Prefix
			gateway *netip.Addr
			ipv6    bool
		}{
			{a.network.IPv4, a.spec.IPv4, &a.Endpoint.IPv4, &a.Gateway4, false},
			{a.network.IPv6, a.spec.IPv6, &a.Endpoint.IPv6, &a.Gateway6, true},
		} {
			if !family.on {
				continue
			}
			got, gateway, err := b.take(a.network, family.ipv6, family.want)
			if err != nil {
				return fmt.Errorf("network %s: %w", a.network.Name, err)
			}
			*family.got = got
			if !a.network.Internal {
				*family.gateway = gateway
			}
		}
		switch {
		case a.network.Driver == "ipvlan": // the parent's
		case a.spec.MAC != "":
			if err := b.checkMAC(a); err != nil {
				return err
			}
			a.MAC = a.spec.MAC
		default:
			a.MAC = b.ownMAC(a)
		}
	}
	return b.stillThere()
}

// ready makes a network's device and rules if they are missing.
func (b *building) ready(c *rtnl.Conn, a *attachment) (err error) {
	if a.network, a.device, err = b.ensure(c, a.network); err != nil {
		return err
	}
	s := a.network
	b.later = append(b.later, func() error { return b.ensureRules(s, true) })
	return nil
}

// stillThere finds out whether a network was removed before our lease could be seen.
func (b *building) stillThere() error {
	for _, a := range b.all {
		if _, err := b.read(a.network.ID); err != nil {
			return err
		}
	}
	return nil
}

// take takes an address on a network: the one that is wanted, else the lowest that is free. It returns it with the length of
// its subnet, and the subnet's gateway.
func (b *building) take(s Spec, ipv6 bool, want netip.Addr) (netip.Prefix, netip.Addr, error) {
	spec := b.Record.Spec
	lease := ipam.Lease{ID: spec.ID, Name: spec.Name, Owners: b.Record.owners(), Record: spec.Record}
	err := fmt.Errorf("no subnet: %w", ipam.ErrExhausted)
	for _, sub := range s.Subnets {
		if sub.Prefix.Addr().Is6() != ipv6 || want.IsValid() && !sub.Prefix.Contains(want) {
			continue
		}
		var a netip.Addr
		var dead []ipam.Lease
		if want.IsValid() {
			a, lease.Address = want, want
			dead, err = b.takeWanted(s, sub, lease)
		} else {
			a, dead, err = b.leases(s.ID).TakeLowest(sub.addresses(), lease)
		}
		if sweepErr := b.sweepSandboxes(dead); sweepErr != nil {
			b.Warnings = append(b.Warnings, "remove what a killed container left: "+sweepErr.Error())
		}
		if err == nil {
			return netip.PrefixFrom(a, sub.Prefix.Bits()), sub.Gateway, nil
		}
		if !errors.Is(err, ipam.ErrExhausted) {
			break
		}
	}
	return netip.Prefix{}, netip.Addr{}, err
}

// takeWanted takes the address that the lease names, or says whose it is.
func (b *building) takeWanted(s Spec, sub Subnet, lease ipam.Lease) (dead []ipam.Lease, err error) {
	if owner := sub.reservedFor(lease.Address); owner != "" {
		return nil, fmt.Errorf("address %s: %w: it is %s", lease.Address, ipam.ErrInUse, owner)
	}
	dead, err = b.leases(s.ID).Take(lease)
	if !errors.Is(err, ipam.ErrInUse) {
		return dead, err
	}
	err = fmt.Errorf("address %s: %w", lease.Address, ipam.ErrInUse)
	if l, getErr := b.leases(s.ID).Get(lease.Address); getErr == nil {
		err = fmt.Errorf("%w: it is that of container %s", err, l.Name)
	}
	return dead, err
}

// attach makes the endpoints' interfaces.
func (b *building) attach(c *rtnl.Conn) (err error) {
	defer span.Begin("attach").End()
	for _, a := range b.all {
		a.index, err = a.driver.attach(c, a.network, a.device, a.Endpoint, b.NetNS, mark(b.config.Tag, b.Record.Spec.ID))
		if err != nil {
			return fmt.Errorf("attach to network %s: %w", a.network.Name, err)
		}
	}
	return nil
}

// configure gives the interfaces their addresses and routes, sets them up, and finds default gateways. It runs on a thread in
// the container's namespace.
func (b *building) configure() error {
	defer span.Begin("configure interfaces").End()
	c, err := rtnl.DialCurrent()
	if err != nil {
		return err
	}
	defer c.Close()
	for _, a := range b.all {
		if err := a.configure(c); err != nil {
			return fmt.Errorf("configure %s: %w", a.Interface, err)
		}
	}
	var done4, done6 bool
	for _, a := range elect(b.all) {
		if a.Gateway4.IsValid() && !done4 {
			done4 = true
			if err := c.AddDefaultRoute(a.index, a.routed(a.Gateway4), netlink.FAMILY_V4); err != nil {
				return err
			}
		}
		if a.Gateway6.IsValid() && !done6 {
			done6 = true
			if err := c.AddDefaultRoute(a.index, a.routed(a.Gateway6), netlink.FAMILY_V6); err != nil {
				return err
			}
		}
	}
	return nil
}
