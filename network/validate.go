package network

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"ctr/network/ipam"
)

// What is given to nobody: RFC 1122, 3.2.1.3, RFC 1112, 4, and RFC 4291, 2.5.2, 2.5.3 and 2.5.5.
var nobodys = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("::ffff:0:0/96"),
}

// validate checks what can be checked without looking at the host, and fills in the gateways of the subnets that are given.
func (s *Spec) validate() error {
	if err := checkName(s.Name); err != nil {
		return err
	}
	if _, err := driverOf(s.Driver); err != nil {
		return err
	}
	if err := s.checkOptions(); err != nil {
		return err
	}
	if !s.IPv4 && !s.IPv6 {
		return fmt.Errorf("%w: IPv4 or IPv6 must be enabled", ErrInvalid)
	}
	for i := range s.Subnets {
		if err := s.checkSubnet(&s.Subnets[i]); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		for _, other := range s.Subnets[:i] {
			if other.Prefix.Overlaps(s.Subnets[i].Prefix) {
				return overlap(s.Subnets[i].Prefix, fmt.Sprintf("it overlaps %s of the same network", other.Prefix))
			}
		}
	}
	return nil
}

// minMTU6 is the least that a link with IPv6 may have (RFC 8200, 5).
const minMTU6 = 1280

// checkOptions refuses options that would do nothing, or could not do what they say.
func (s *Spec) checkOptions() error {
	o, err := s.options()
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(s.Options)) {
		if of := optionDrivers[key]; of != nil && !s.ConfigOnly && !slices.Contains(of, s.Driver) {
			return fmt.Errorf("%w %s: it is for networks of the driver %s", ErrInvalid, key, strings.Join(of, " or "))
		}
	}
	if !s.ConfigOnly {
		if err := s.checkGatewayModes(o); err != nil {
			return err
		}
	}
	if s.IPv6 && o.mtu != 0 && o.mtu < minMTU6 {
		return fmt.Errorf("%w %s=%q: IPv6 needs %d at least", ErrInvalid, OptMTU, s.Options[OptMTU], minMTU6)
	}
	return nil
}

// checkGatewayModes refuses modes that contradict what the network is otherwise.
func (s *Spec) checkGatewayModes(o options) error {
	for _, six := range []bool{false, true} {
		switch mode := o.gateway(six); {
		case mode == gatewayIsolated && !s.Internal:
			return fmt.Errorf("%w: the gateway mode isolated is for internal networks, with --internal", ErrInvalid)
		case s.Internal && (mode == gatewayRouted || mode == gatewayUnprotected):
			return fmt.Errorf("%w: nothing outside reaches an internal network: its gateway mode cannot be %s", ErrInvalid, mode)
		}
	}
	if s.Internal && len(o.trusted) > 0 {
		return fmt.Errorf("%w %s: nothing outside reaches an internal network", ErrInvalid, OptTrusted)
	}
	if o.hostBinding.IsValid() && o.gateway4 == gatewayRouted {
		return fmt.Errorf("%w %s: with the gateway mode routed nothing is published on addresses of the host", ErrInvalid, OptHostBinding)
	}
	return nil
}

// checkSubnet checks one subnet and chooses its gateway if none is asked for.
func (s *Spec) checkSubnet(n *Subnet) error {
	p := n.Prefix
	switch {
	case !p.IsValid():
		return fmt.Errorf("every ip-range, gateway or auxiliary address must have a subnet")
	case p != p.Masked():
		return fmt.Errorf("invalid subnet %s: it should be %s", p, p.Masked())
	case p.Addr().Is6() && !s.IPv6:
		return fmt.Errorf("invalid subnet %s: IPv6 has not been enabled for this network", p)
	case p.Addr().Is4() && !s.IPv4:
		return fmt.Errorf("invalid subnet %s: IPv4 has been disabled for this network", p)
	case p.Bits() < minBits || slices.ContainsFunc(nobodys, p.Overlaps) ||
		p.Addr().IsMulticast() || p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast():
		return fmt.Errorf("invalid subnet %s: these addresses cannot be given to containers", p)
	case p.Addr().BitLen()-p.Bits() < 1:
		return fmt.Errorf("invalid subnet %s: no address is left beside the gateway", p)
	}
	if r := n.Range; r.IsValid() && (r != r.Masked() || r.Bits() < p.Bits() || !p.Contains(r.Addr())) {
		return fmt.Errorf("invalid ip-range %s: it should be a part of subnet %s", r, p)
	}
	if n.Gateway.IsValid() && !p.Contains(n.Gateway) {
		return fmt.Errorf("invalid gateway %s: subnet %s doesn't contain this address", n.Gateway, p)
	}
	if err := n.checkAuxiliary(); err != nil {
		return err
	}
	if !n.Gateway.IsValid() {
		n.Gateway = n.addresses().First()
	}
	if any := (ipam.Range{Subnet: p}); !any.Usable(n.Gateway) {
		return fmt.Errorf("invalid gateway %s: %s", n.Gateway, n.unusable())
	}
	return nil
}

// checkAuxiliary checks the addresses of a subnet that are the user's own affair.
func (n *Subnet) checkAuxiliary() error {
	names := map[netip.Addr]string{}
	for _, name := range slices.Sorted(maps.Keys(n.Auxiliary)) {
		a, why := n.Auxiliary[name], ""
		switch {
		case !n.Prefix.Contains(a):
			why = fmt.Sprintf("subnet %s doesn't contain this address", n.Prefix)
		case a == n.Gateway:
			why = "it is the gateway"
		case names[a] != "":
			why = "it is that of " + names[a]
		case !(ipam.Range{Subnet: n.Prefix}).Usable(a):
			why = n.unusable()
		}
		if why != "" {
			return fmt.Errorf("invalid auxiliary address %s=%s: %s", name, a, why)
		}
		names[a] = name
	}
	return nil
}

// unusable says why nobody can have an address of the subnet.
func (n *Subnet) unusable() string {
	return "it is " + n.bounds()
}

// bounds names the two addresses of a subnet that are nobody's.
func (n Subnet) bounds() string {
	return fmt.Sprintf("the address of subnet %s itself, or its broadcast address", n.Prefix)
}

// reservedFor says what an address of the subnet is that no container can have, if it is such a one.
func (n Subnet) reservedFor(a netip.Addr) string {
	for name, other := range n.Auxiliary {
		if a == other {
			return "the auxiliary address " + name
		}
	}
	switch {
	case a == n.Gateway:
		return "the gateway"
	case !n.addresses().Usable(a):
		return n.bounds()
	}
	return ""
}

// addresses returns what containers may get of the subnet.
func (n Subnet) addresses() ipam.Range {
	r := ipam.Range{Subnet: n.Prefix, Within: n.Range}
	if n.Gateway.IsValid() {
		r.Reserved = append(r.Reserved, n.Gateway)
	}
	for _, a := range n.Auxiliary {
		r.Reserved = append(r.Reserved, a)
	}
	return r
}

// overlap returns the error of a subnet that is taken.
func overlap(p netip.Prefix, why string) error {
	return withHint(fmt.Errorf("invalid pool request: %w", ErrOverlap), fmt.Sprintf("choose another subnet than %s: %s", p, why))
}
