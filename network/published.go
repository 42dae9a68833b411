package network

import (
	"net/netip"
	"slices"

	"ctr/network/firewall"
	"ctr/network/ports"
)

// Published is what published ports lead to. A port is published in each family that its HostIP is of: on the host, or, where the
// network routes the family (gateway_mode_*), at the container's own address and port, and nowhere on the host. By a trusted link it
// is reached at the container's own address whatever of the host it is published on.
type Published struct {
	Bridge  string     `json:"bridge"`
	IPv4    netip.Addr `json:"ipv4,omitzero"`
	IPv6    netip.Addr `json:"ipv6,omitzero"`
	Routed4 bool       `json:"routed4,omitempty"`
	Routed6 bool       `json:"routed6,omitempty"`
	Trusted []string   `json:"trusted,omitempty"` // links
}

// family returns the container's address of a family, and whether that is routed.
func (to *Published) family(six bool) (a netip.Addr, routed bool) {
	if six {
		return to.IPv6, to.Routed6
	}
	return to.IPv4, to.Routed4
}

// behindHost returns the container's addresses that clients know by the host's, IPv4 first.
func (to *Published) behindHost() (all []netip.Addr) {
	for _, six := range []bool{false, true} {
		if a, routed := to.family(six); a.IsValid() && !routed {
			all = append(all, a)
		}
	}
	return all
}

// onHost returns what the port is on the host, false if nothing.
func (to *Published) onHost(p Port) (Port, bool) {
	if len(to.behindHost()) == 0 {
		return p, false
	}
	if p.HostIP.IsValid() {
		_, routed := to.family(p.HostIP.Is6())
		return p, !routed
	}
	switch {
	case to.Routed4:
		p.HostIP = netip.IPv6Unspecified()
	case to.Routed6:
		p.HostIP = netip.IPv4Unspecified()
	}
	return p, true
}

// direct returns the container's own addresses at which the port is open to everybody.
func (to *Published) direct(p Port) []netip.AddrPort { return to.own(p, true) }

// toTrusted returns the container's own addresses at which the port is open to who comes in by a trusted link.
func (to *Published) toTrusted(p Port) []netip.AddrPort {
	if len(to.Trusted) == 0 {
		return nil
	}
	return to.own(p, false)
}

// own returns where a port is at the container's own addresses: those that are routed, or those that are not.
func (to *Published) own(p Port, routed bool) (all []netip.AddrPort) {
	for _, six := range []bool{false, true} {
		a, is := to.family(six)
		if a.IsValid() && is == routed && (!p.HostIP.IsValid() || p.HostIP.Is6() == six) {
			all = append(all, netip.AddrPortFrom(a, p.ContainerPort))
		}
	}
	return all
}

// Targets returns the container's addresses that a proxy leads the port's clients to, IPv4 first.
func (r *Record) Targets(p Port) (all []netip.AddrPort) {
	for _, a := range r.Published.behindHost() {
		all = append(all, netip.AddrPortFrom(a, p.ContainerPort))
	}
	return all
}

// Place is where clients find a published port.
type Place struct {
	Host   netip.AddrPort // on the host; port 0: nowhere there
	Direct netip.AddrPort // then: the container's own
}

// Places returns where clients find a port of the record, IPv4 first.
func (r *Record) Places(p Port) (all []Place) {
	if r.Published == nil {
		return nil
	}
	if at, ok := r.Published.onHost(p); ok {
		hosts := []netip.Addr{at.HostIP}
		if !at.HostIP.IsValid() {
			hosts = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
		}
		for _, host := range hosts {
			all = append(all, Place{Host: netip.AddrPortFrom(host, p.HostPort)})
		}
	}
	for _, a := range r.Published.direct(p) {
		host := netip.IPv4Unspecified()
		if a.Addr().Is6() {
			host = netip.IPv6Unspecified()
		}
		all = append(all, Place{Host: netip.AddrPortFrom(host, 0), Direct: a})
	}
	slices.SortStableFunc(all, func(a, b Place) int { return a.Host.Addr().Compare(b.Host.Addr()) })
	return all
}

// held returns the port as it is held on the host, false if it is not.
func (r *Record) held(p Port) (ports.Port, bool) {
	if r.Published == nil {
		return ports.Port{}, false
	}
	at, ok := r.Published.onHost(p)
	return ports.Port{Protocol: ports.Protocol(at.Protocol), HostIP: at.HostIP, HostPort: at.HostPort}, ok
}

// rules returns the published ports as the firewall wants them: one for each family that the host's and the container's
// address have in common, and one for each address of the container that somebody reaches directly. What is left is the proxy's.
func (r *Record) rules() (all []firewall.Port) {
	if r.Published == nil {
		return nil
	}
	for _, p := range r.Ports {
		one := firewall.Port{Protocol: firewall.Protocol(p.Protocol), Bridge: r.Published.Bridge, Owner: r.Spec.ID}
		add := func(target netip.AddrPort) {
			one.ContainerIP, one.ContainerPort = target.Addr(), target.Port()
			all = append(all, one)
		}
		if at, ok := r.Published.onHost(p); ok {
			one.HostPort = at.HostPort
			if !at.HostIP.IsUnspecified() {
				one.HostIP = at.HostIP // else every address of the target's family
			}
			for _, target := range r.Targets(p) {
				if !at.HostIP.IsValid() || at.HostIP.Is4() == target.Addr().Is4() {
					add(target)
				}
			}
		}
		one.Direct, one.HostIP, one.HostPort = true, netip.Addr{}, 0
		for _, target := range slices.Concat(r.Published.direct(p), r.Published.toTrusted(p)) {
			add(target)
		}
	}
	return all
}
