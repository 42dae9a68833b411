package network

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"ctr/network/ipam"
	"ctr/network/names"
)

// Docker's keys of --network driver-opt.
const (
	OptEndpointInterface = "com.docker.network.endpoint.ifname"  // the interface's name in the container
	OptEndpointSysctls   = "com.docker.network.endpoint.sysctls" // its settings: net.ipv4.conf.IFNAME.log_martians=1,...
)

// attachment is an endpoint on its way to be made.
type attachment struct {
	spec    EndpointSpec
	network Spec
	options options
	driver  driver
	device  device
	index   int // of the interface, in the container
	*Endpoint
}

// plan resolves the endpoints of a sandbox, refuses what cannot be, and chooses all names. It reads records and changes nothing.
func (n *Networks) plan(s SandboxSpec, r *Record) ([]*attachment, error) {
	if s.None && len(s.Endpoints) > 0 {
		return nil, fmt.Errorf("%w: a container without networks has endpoints", ErrInvalid)
	}
	r.Endpoints = make([]Endpoint, len(s.Endpoints))
	var all []*attachment
	for i, es := range s.Endpoints {
		a, err := n.planEndpoint(s, es, all)
		if err != nil {
			return nil, err
		}
		r.Endpoints[i] = *a.Endpoint
		a.Endpoint = &r.Endpoints[i]
		all = append(all, a)
	}
	return all, nameInterfaces(all)
}

// planEndpoint does so for one endpoint beside others. Its interface has no name yet.
func (n *Networks) planEndpoint(s SandboxSpec, es EndpointSpec, others []*attachment) (*attachment, error) {
	a := &attachment{spec: es}
	var err error
	if a.network, err = n.Find(es.Network); err != nil {
		if es.Name != "" && errors.Is(err, ErrNotFound) {
			err = fmt.Errorf("network %s %w", es.Name, ErrNotFound) // nobody knows it by its ID
		}
		return nil, err
	}
	if a.network.ConfigOnly {
		return nil, withHint(fmt.Errorf("%w: network %s is a configuration, which no container can be on", ErrInvalid, a.network.Name),
			"make a network from it with 'ctr network create --config-from "+a.network.Name+" NAME'")
	}
	if a.options, err = a.network.options(); err != nil {
		return nil, err
	}
	if a.driver, err = driverOf(a.network.Driver); err != nil {
		return nil, err
	}
	for _, other := range others {
		if other.network.ID == a.network.ID {
			return nil, fmt.Errorf("%w: container %s is on network %s twice", ErrInvalid, s.Name, a.network.Name)
		}
	}
	if err := a.check(); err != nil {
		return nil, fmt.Errorf("invalid endpoint settings: %w", err)
	}
	id := newID()
	a.Endpoint = &Endpoint{ID: id, Network: a.network.ID, Name: a.network.Name, DNSNames: a.dnsNames(s)}
	if a.network.Driver == "bridge" {
		a.HostSide, a.Bridge = "veth"+id[:7], a.network.Bridge
	}
	return a, nil
}

// Renew returns the endpoint on the network that was made anew under the name of its own, if that is so.
func (n *Networks) Renew(e EndpointSpec) (_ EndpointSpec, anew bool) {
	if _, err := os.Lstat(n.recordPath(e.Network)); err == nil || e.Name == "" {
		return e, false
	}
	s, err := n.Find(e.Name)
	if err != nil || s.Name != e.Name {
		return e, false
	}
	e.Network = s.ID
	return e, true
}

// CheckSandbox refuses what Setup would refuse, as far as that can be told without touching anything.
func (n *Networks) CheckSandbox(s SandboxSpec) error {
	if err := s.validate(); err != nil {
		return err
	}
	_, err := n.plan(s, &Record{})
	return err
}

// check refuses what an endpoint cannot have on its network.
func (a *attachment) check() error {
	if a.network.Name == "bridge" {
		if a.spec.IPv4.IsValid() || a.spec.IPv6.IsValid() {
			return fmt.Errorf("%w: user-specified IP address is supported on user-defined networks only", ErrInvalid)
		}
		if len(a.spec.Aliases) > 0 {
			return fmt.Errorf("%w: network-scoped aliases are only supported for user-defined networks", ErrInvalid)
		}
	}
	for _, alias := range a.spec.Aliases {
		if !names.Askable(alias) {
			return fmt.Errorf("%w: nobody can ask for the network alias %q: want letters and digits, up to 63 between two dots", ErrInvalid, alias)
		}
	}
	for _, ip := range []netip.Addr{a.spec.IPv4, a.spec.IPv6} {
		if ip.IsValid() && !slices.ContainsFunc(a.network.Subnets, func(s Subnet) bool { return s.Prefix.Contains(ip) }) {
			return fmt.Errorf("%w: no configured subnet contains IP address %s", ErrInvalid, ip)
		}
	}
	if a.spec.MAC != "" {
		mac, err := net.ParseMAC(a.spec.MAC)
		if err != nil || len(mac) != 6 || mac[0]&1 != 0 || bytes.Equal(mac, make([]byte, 6)) {
			return fmt.Errorf("%w: invalid MAC address %q", ErrInvalid, a.spec.MAC)
		}
		if a.network.Driver == "ipvlan" {
			return fmt.Errorf("%w: endpoints of an ipvlan network have the MAC of its parent", ErrInvalid)
		}
	}
	for key := range a.spec.DriverOpts {
		if key != OptEndpointInterface && key != OptEndpointSysctls {
			return fmt.Errorf("%w: endpoint option %q is %w", ErrInvalid, key, ErrUnsupported)
		}
	}
	_, err := a.spec.sysctls(placeholder)
	return err
}

// checkMAC refuses a MAC that another on the network has: a bridge would lead to one of the two what is for both.
func (n *Networks) checkMAC(a *attachment) error {
	taken := func(by string) error {
		return fmt.Errorf("network %s: MAC address %s: %w: it is that of %s", a.network.Name, a.spec.MAC, ipam.ErrInUse, by)
	}
	if a.network.Bridge != "" && a.spec.MAC == bridgeMAC(a.network).String() {
		return taken("bridge " + a.network.Bridge)
	}
	users, err := n.Users(a.network.ID)
	for _, u := range users {
		if u.Endpoint.MAC == a.spec.MAC && u.Endpoint.ID != a.ID {
			return taken("container " + u.Name)
		}
	}
	return err
}

// dnsNames returns the names that the other containers of the network find the endpoint by; the first one is that of its
// address. The default bridge has no names.
func (a *attachment) dnsNames(s SandboxSpec) []string {
	if a.network.Name == "bridge" {
		return nil
	}
	all := append([]string{s.Name}, a.spec.Aliases...)
	all = append(all, s.shortID(), s.hostname())
	var unique []string
	for _, name := range all {
		if !slices.ContainsFunc(unique, func(u string) bool { return strings.EqualFold(u, name) }) {
			unique = append(unique, name)
		}
	}
	return unique
}

// nameInterfaces names the interfaces in the container: as asked for, else eth0, eth1, ... in the order given, but for names that
// others there have.
func nameInterfaces(all []*attachment, others ...string) error {
	used := map[string]bool{"lo": true}
	for _, name := range others {
		used[name] = true
	}
	for _, a := range all {
		used[a.Interface] = true // those of a sandbox that is there already have one
	}
	for _, a := range all {
		if a.Interface != "" {
			continue
		}
		name := a.spec.Interface
		if name == "" {
			name = a.spec.DriverOpts[OptEndpointInterface]
		}
		if name == "" {
			continue
		}
		if err := checkInterfaceName(name); err != nil || used[name] {
			return fmt.Errorf("%w: interface name %q is malformed or taken", ErrInvalid, name)
		}
		used[name], a.Interface = true, name
	}
	for _, a := range all {
		for i := 0; a.Interface == ""; i++ {
			if name := a.options.ifacePrefix + strconv.Itoa(i); !used[name] {
				used[name], a.Interface = true, name
			}
		}
	}
	return nil
}

// elect sorts the endpoints by Docker's rule: the first one that has a gateway of a family is where the default route of that
// family leads, and names are looked up in this order.
func elect(all []*attachment) []*attachment {
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b *attachment) int {
		if a.spec.GwPriority != b.spec.GwPriority {
			return cmp.Compare(b.spec.GwPriority, a.spec.GwPriority)
		}
		if a.network.Internal != b.network.Internal {
			if a.network.Internal {
				return 1
			}
			return -1
		}
		if a.gateways() != b.gateways() {
			return b.gateways() - a.gateways()
		}
		return strings.Compare(a.network.Name, b.network.Name)
	})
	return sorted
}

// gateways counts the families in which the endpoint has a gateway.
func (a *attachment) gateways() int { return len(a.gatewayAddrs()) }

// gatewayAddrs returns the gateways of an endpoint.
func (e Endpoint) gatewayAddrs() []netip.Addr {
	return slices.DeleteFunc([]netip.Addr{e.Gateway4, e.Gateway6}, func(a netip.Addr) bool { return !a.IsValid() })
}

// mac returns the MAC of an endpoint.
func (e Endpoint) mac() (net.HardwareAddr, error) { return net.ParseMAC(e.MAC) }

// prefixes returns the addresses of an endpoint that it has got so far.
func (e Endpoint) prefixes() []netip.Prefix {
	var all []netip.Prefix
	for _, p := range []netip.Prefix{e.IPv4, e.IPv6} {
		if p.IsValid() {
			all = append(all, p)
		}
	}
	return all
}
