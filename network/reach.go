package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ctr/network/firewall"
	"ctr/network/rtnl"
)

// Reachable says who reaches a port that a sandbox publishes, at one place.
type Reachable struct {
	Port Port
	At   netip.AddrPort // the address is zero for all of the host's; or it is the container's own
	From string         // in words
}

// Reach says who reaches the ports that a sandbox publishes, in the order of Record.Ports, and notes about all, on rules of others
// that are in the way, or that users take to be and that are not.
func (n *Networks) Reach(r *Record) (all []Reachable, notes []string, err error) {
	var b barriers
	var links map[netip.Addr]string
	if len(r.Ports) > 0 {
		if b, notes, err = n.barriers(r); err != nil {
			return nil, nil, err
		}
	}
	if slices.ContainsFunc(r.Ports, func(p Port) bool { return p.HostIP.IsValid() && !p.HostIP.IsUnspecified() && !p.HostIP.IsLoopback() }) {
		if err := n.onHost(func(c *rtnl.Conn) (err error) { links, err = linksOf(c); return err }); err != nil {
			return nil, nil, err
		}
	}
	for _, p := range r.Ports {
		if at, ok := r.Published.onHost(p); ok {
			all = append(all, Reachable{p, netip.AddrPortFrom(at.HostIP, at.HostPort), b.fromHost(at.HostIP, r.Published, linkOf(links, at.HostIP))})
		}
		for _, a := range r.Published.direct(p) {
			all = append(all, Reachable{p, a, b.direct(a.Addr())})
		}
		for _, a := range r.Published.toTrusted(p) {
			all = append(all, Reachable{p, a, b.byLinks(a.Addr(), r.Published.Trusted)})
		}
	}
	return all, append(n.unprotected(r), notes...), nil
}

// unprotected tells of each network on which no port needs to be published.
func (n *Networks) unprotected(r *Record) (notes []string) {
	for _, e := range r.Endpoints {
		s, err := n.read(e.Network)
		if err != nil {
			continue // removed meanwhile
		}
		o, _ := s.options()
		for _, p := range e.prefixes() {
			if o.gateway(p.Addr().Is6()) == gatewayUnprotected {
				notes = append(notes, fmt.Sprintf("network %s is unprotected: whoever has a route to %s reaches all its ports, published or not",
					s.Name, p.Addr()))
			}
		}
	}
	return notes
}

// barriers are what rules of others keep from published ports, by family.
type barriers struct {
	forward firewall.Families // what comes from outside or from other containers, and is forwarded
	input   firewall.Families // what comes from outside and is not: the proxy's clients
	output  firewall.Families // what the host sends to containers itself: the proxy's part, and what it asks for at their own addresses
}

// barriers looks for them, and says in notes what they are.
func (n *Networks) barriers(r *Record) (b barriers, notes []string, err error) {
	shut, err := n.firewall.Inputs()
	if err != nil {
		return b, nil, err
	}
	for _, f := range shut {
		b.input = b.input.Or(f.Stops)
		notes = append(notes, fmt.Sprintf("%s lets nothing in by default, but does not see published ports, which are forwarded: "+
			"publish on 127.0.0.1, or drop in a forward chain of your own (docs/firewall.md)", f.Text))
	}
	leading := n.leadingTo(r)
	for _, one := range leading {
		shut, err := n.firewall.Outputs(one)
		if err != nil {
			return b, notes, err
		}
		for _, f := range shut {
			b.output = b.output.Or(f.Stops)
			notes = append(notes, f.Text)
		}
	}
	found, err := n.firewall.Barriers(leading)
	for _, f := range found {
		b.forward = b.forward.Or(f.Stops)
		if f.Cure {
			f.Text += ": 'ctr network repair' lets it pass"
		}
		notes = append(notes, f.Text)
	}
	return b, notes, err
}

// leadingTo returns the networks that the published ports of a sandbox lead to.
func (n *Networks) leadingTo(r *Record) (all []firewall.Network) {
	ports := r.rules()
	for _, e := range r.Endpoints {
		if !slices.ContainsFunc(ports, func(p firewall.Port) bool {
			return p.ContainerIP == e.IPv4.Addr() || p.ContainerIP == e.IPv6.Addr()
		}) {
			continue
		}
		if s, err := n.read(e.Network); err == nil {
			if f, err := s.rules(); err == nil && f.Bridge != "" {
				all = append(all, f)
			}
		}
	}
	return all
}

// direct says who reaches a port at the container's own address.
func (b barriers) direct(a netip.Addr) string {
	switch forward, output := b.forward.Has(a.Is6()), b.output.Has(a.Is6()); {
	case forward && output:
		return "containers of its own network"
	case forward:
		return "this host, and containers of its own network"
	case output:
		return "containers, and whoever has a route to it, but not this host"
	}
	return "this host, its containers, and whoever has a route to it"
}

// byLinks says who reaches a port at the container's own address, by links that its network trusts.
func (b barriers) byLinks(a netip.Addr, links []string) string {
	if b.forward.Has(a.Is6()) {
		return "nobody by " + strings.Join(links, " or ")
	}
	return "whoever comes in by " + strings.Join(links, " or ")
}

// fromHost says who reaches a port at an address of the host, which link has; a zero address is all. Clients of a family that the
// container has are led to it by rules, all others, and whoever asks 127.0.0.1 or ::1, are served by the proxy.
func (b barriers) fromHost(host netip.Addr, to *Published, link string) string {
	var outside, within, loopback []string // who does, the host who does, and by which of its own it does not
	for _, six := range []bool{false, true} {
		if host.IsValid() && host.Is6() != six {
			continue
		}
		a, routed := to.family(six)
		led := a.IsValid() && !routed
		proxied := !b.output.Has(led && six || !led && !six) // out by the family of the container's address
		family, own := "IPv4", "127.0.0.1"
		if six {
			family, own = "IPv6", "[::1]"
		}
		if led && !b.forward.Has(six) || !led && proxied && !b.input.Has(six) {
			outside = append(outside, family)
		}
		if led && !host.IsLoopback() || proxied {
			within = append(within, family)
		}
		if !proxied {
			loopback = append(loopback, own)
		}
	}
	all := !host.IsValid() || host.IsUnspecified()
	itself := ""
	if all && len(within) > 0 && len(loopback) > 0 {
		itself = ", itself not by " + strings.Join(loopback, " and ")
	}
	switch {
	case !all && !host.IsLoopback() && link == "":
		return "nobody: the host does not have the address any more"
	case len(within) == 0:
		return "nobody"
	case host.IsLoopback(), len(outside) == 0:
		return "this host only" + itself
	case !all:
		return "this host, its containers, and whoever comes in by " + link
	case len(outside) == 1:
		return "whoever reaches this host by " + outside[0] + itself
	}
	return "whoever reaches this host" + itself
}

// linkOf returns the name of the link that has an address; that of a link-local one it names itself.
func linkOf(links map[netip.Addr]string, a netip.Addr) string {
	link := links[a.WithZone("")]
	if link != "" && a.Zone() != "" {
		return a.Zone()
	}
	return link
}

// linksOf returns the names of the links that have addresses.
func linksOf(c *rtnl.Conn) (map[netip.Addr]string, error) {
	links, err := c.Links()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	holders, err := c.Holders()
	if err != nil {
		return nil, err
	}
	found := map[netip.Addr]string{}
	for a, index := range holders {
		found[a] = names[index]
	}
	return found, nil
}
