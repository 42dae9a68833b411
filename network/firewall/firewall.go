package firewall

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"ctr/network/netns"
)

// ErrUnsupported is returned when the kernel lacks something that the rules need; the error names its configuration
// option.
var ErrUnsupported = errors.New("not supported by this kernel")

// Firewall is the rules of one installation in one host.
type Firewall struct {
	ns    *netns.Handle
	table string
}

// Open returns the firewall of the installation with the tag ("" for the default roots) in a network namespace; nil is
// the one of the process. It touches nothing. The handle stays the caller's and must outlive the Firewall.
func Open(ns *netns.Handle, tag string) *Firewall {
	table := "ctr"
	if tag != "" {
		table += "-" + tag
	}
	return &Firewall{ns: ns, table: table}
}

// Network is what the firewall has to know of a bridge network.
type Network struct {
	Bridge   string         // the device's name
	Prefixes []netip.Prefix // its subnets
	Gateways []netip.Addr   // the bridge's own addresses
	Internal bool           // no way out, and no way to the host
	// NoICC: containers do not reach each other, except by published ports. Packets that stay within a bridge pass these rules
	// only where br_netfilter makes them (net.bridge.bridge-nf-call-iptables): to keep its ports apart is the caller's part.
	NoICC        bool
	NoMasquerade bool // source addresses are kept on the way out; whoever answers needs a route
	// Routed are those of its subnets whose containers have addresses for everybody: outside and other networks reach them by ICMP and
	// at the ports that are published with Direct, and see them as they are.
	Routed []netip.Prefix
	// Unprotected are those of its subnets whose containers outside reaches at any port.
	Unprotected []netip.Prefix
	// Trusted are the links by which outside reaches its containers at their own addresses too, at the ports that are published
	// with Direct. They need not be there yet.
	Trusted []string

	Idle    bool         // nobody is on it: rules of others are left as they are
	Opening func() error // if not nil, called before a rule of others is opened for it
}

// Protocol is a transport protocol by its name: tcp, udp or sctp.
type Protocol string

// Port is one published port, with its target.
type Port struct {
	Protocol      Protocol
	HostIP        netip.Addr // zero: every address of the host, of the family of ContainerIP
	HostPort      uint16
	Bridge        string // by which the container is reached
	ContainerIP   netip.Addr
	ContainerPort uint16
	// Direct: it is open at the container's own address, to whoever its network lets reach that: all if it is in one of Routed,
	// else what comes in by the links in Trusted. HostIP and HostPort are not used.
	Direct bool
	// Owner is the ID of the container. It is the element's comment, and RemovePorts takes nothing that has another one:
	// a late teardown does no harm to who has got the port, or even the address, since.
	Owner string
}

// AddNetwork sets the rules of a network. It is idempotent, costs one look when all is there, and makes the whole table
// again, in one transaction, when it is not. Elements of other networks and of ports stay as they are. It tells whether
// somebody has removed the table, or our marks in chains of others: then those of other networks and ports are gone as well.
func (f *Firewall) AddNetwork(n Network) (fresh bool, err error) {
	if fresh, err = f.addNetwork(n); err != nil {
		return fresh, fmt.Errorf("add firewall rules of %q: %w", n.Bridge, err)
	}
	return fresh, nil
}

func (f *Firewall) addNetwork(n Network) (fresh bool, err error) {
	want, present := n.elements(), false
	err = f.update(func(s *session) (bool, error) {
		present = false
		have, err := s.elements(setNetworks)
		if err == nil && slices.ContainsFunc(have, func(e element) bool { return e.id() == want[0].id() && same(e, want[0]) }) {
			present = true
			if n.Idle {
				return false, nil
			}
			missed, err := f.mark(s, n)
			fresh = fresh || missed
			return false, err
		}
		// Whatever is wrong, the transaction below cures it or says why it cannot be cured.
		have, missing, err := s.present(networkSets()...)
		fresh = fresh || missing
		if err != nil {
			have = nil
		}
		have = slices.DeleteFunc(have, func(e element) bool { return !belongs(e, n.Bridge) })
		remove, add := difference(have, want)
		return true, errors.Join(s.install(tableOf(f.table)), s.remove(remove), s.add(add))
	})
	if err != nil {
		return false, f.explain(err)
	}
	if present {
		return fresh, nil
	}
	return fresh, f.open(n)
}

// open lets a network's packets pass the gates of others, while anybody sends any.
func (f *Firewall) open(n Network) error {
	if n.Idle {
		return nil
	}
	return f.update(func(s *session) (bool, error) {
		_, err := f.mark(s, n)
		return false, err
	})
}

// RemoveNetwork takes away what AddNetwork set. A network that is not there is removed already. The table stays, for the
// next network: only Reset removes it.
func (f *Firewall) RemoveNetwork(bridge string) error {
	err := f.update(func(s *session) (bool, error) {
		have, _, err := s.present(networkSets()...)
		remove := slices.DeleteFunc(have, func(e element) bool { return !belongs(e, bridge) })
		return len(remove) > 0, errors.Join(err, s.remove(remove))
	})
	err = errors.Join(err, f.unmark(bridge))
	if err != nil {
		return fmt.Errorf("remove firewall rules of %q: %w", bridge, err)
	}
	return nil
}

// AddPorts sends published ports to their containers, in one transaction: it replaces whatever the same host ports led
// to, and forgets connections that would still go there. A network of the ports must have been added before. Ports with a
// loopback HostIP are left to the proxy and only protected.
func (f *Firewall) AddPorts(ports []Port) error {
	want := f.portElements(ports)
	if len(want) == 0 {
		return nil
	}
	err := f.update(func(s *session) (bool, error) {
		// What is there with the same target but for another owner has to be replaced as well.
		have, err := s.elements(setsOf(want)...)
		if err != nil {
			return false, err
		}
		ids := make(map[string]bool, len(want))
		for _, e := range want {
			ids[e.id()] = true
		}
		have = slices.DeleteFunc(have, func(e element) bool { return !ids[e.id()] })
		remove, add := difference(have, want)
		return len(add) > 0, errors.Join(s.remove(remove), s.add(add))
	})
	if err == nil {
		err = f.forgetOthers(ports)
	}
	if err != nil {
		return fmt.Errorf("add firewall rules of published ports: %w", err)
	}
	return nil
}

// RemovePorts takes away what AddPorts set, where the owner is still the same, and forgets the connections that went to
// the containers. Ports that are not there are removed already.
func (f *Firewall) RemovePorts(ports []Port) error {
	var want []element
	for _, p := range ports {
		// Whatever it may have been given: its address can have come to the loopback device, or left it, since then.
		want = append(want, p.elements(func(netip.Addr) bool { return false })...)
	}
	if len(want) == 0 {
		return nil
	}
	err := f.update(func(s *session) (bool, error) {
		have, err := s.elements(setsOf(want)...)
		if errors.Is(err, unix.ENOENT) {
			return false, nil
		}
		owners := make(map[string]string, len(want))
		for _, e := range want {
			owners[e.id()] = e.comment
		}
		remove := slices.DeleteFunc(have, func(e element) bool {
			owner, ok := owners[e.id()]
			return !ok || owner != e.comment
		})
		return len(remove) > 0, errors.Join(err, s.remove(remove))
	})
	err = errors.Join(err, f.forgetTargets(ports))
	if err != nil {
		return fmt.Errorf("remove firewall rules of published ports: %w", err)
	}
	return nil
}

// RemoveOwner takes away all published ports of a container, whatever they are: for when nobody remembers them, since it reads
// those of all containers.
func (f *Firewall) RemoveOwner(owner string) error {
	err := f.update(func(s *session) (bool, error) {
		have, _, err := s.present(portSets()...)
		remove := slices.DeleteFunc(have, func(e element) bool { return e.comment != owner })
		return len(remove) > 0, errors.Join(err, s.remove(remove))
	})
	if err != nil {
		return fmt.Errorf("remove firewall rules of %q: %w", owner, err)
	}
	return nil
}

// portElements returns the elements of ports.
func (f *Firewall) portElements(ports []Port) []element {
	var looped map[netip.Addr]bool
	anywhere := func(a netip.Addr) bool {
		if looped == nil {
			looped = f.loopbackAddresses()
		}
		return looped[a]
	}
	var list []element
	for _, p := range ports {
		list = append(list, p.elements(anywhere)...)
	}
	return list
}

// loopbackIndex is LOOPBACK_IFINDEX of the kernel (include/net/flow.h): "lo" is the first link of each network namespace.
const loopbackIndex = 1

// loopbackAddresses returns the addresses that the loopback device has besides 127.0.0.0/8 and ::1. Such an address (of a
// service that is routed here) belongs to no wire: packets to it come in by any.
func (f *Firewall) loopbackAddresses() map[netip.Addr]bool {
	found := map[netip.Addr]bool{}
	_ = f.inside(func() error {
		// By its number, so that the kernel is not asked for the links: there are as many as containers.
		addrs, err := (&net.Interface{Index: loopbackIndex}).Addrs()
		if err != nil {
			return err // nothing found: the port is taken at one wire only, the safe side
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() {
				found[p.Addr()] = true
			}
		}
		return nil
	})
	return found
}

// inside runs f in the host's network namespace.
func (f *Firewall) inside(do func() error) error {
	if f.ns == nil {
		return do()
	}
	return f.ns.Do(do)
}

// Reset removes everything of the installation from the host: its table, and its marks in chains of others.
func (f *Firewall) Reset() error {
	err := f.update(func(s *session) (bool, error) {
		// Added first, so that there is something to delete.
		s.gathered.AddTable(s.table)
		s.gathered.DelTable(s.table)
		return true, nil
	})
	err = errors.Join(err, f.unmarkAll())
	if err != nil {
		return fmt.Errorf("remove firewall table %q: %w", f.table, err)
	}
	return nil
}
