package network

import (
	"fmt"
	"net/netip"
	"slices"

	"ctr/network/dns"
)

// Resolver returns what the resolver of a container would know that is on these networks, given by name or ID, and on all that
// have names if none is given. It returns ErrNotFound for one that there is not, and ErrInvalid for one without names.
func (n *Networks) Resolver(refs ...string) (dns.Config, error) {
	var on []*attachment
	add := func(s Spec) error {
		o, err := s.options()
		on = append(on, &attachment{network: s, options: o, Endpoint: &Endpoint{}})
		return err
	}
	for _, ref := range refs {
		s, err := n.Find(ref)
		if err == nil && !s.hasNames() {
			err = withHint(fmt.Errorf("%w: containers have no names on network %s", ErrInvalid, s.Name),
				"they have on networks that were made by network create")
		}
		if err == nil {
			err = add(s)
		}
		if err != nil {
			return dns.Config{}, err
		}
	}
	if len(refs) == 0 {
		all, err := n.List()
		if err != nil {
			return dns.Config{}, err
		}
		for _, s := range all {
			if !s.hasNames() {
				continue
			}
			if err := add(s); err != nil {
				return dns.Config{}, err
			}
		}
	}
	c := n.dnsConfig(on)
	c.Internal = c.Internal && len(on) > 0
	if len(refs) > 0 {
		c.Servers = serverAddresses(ResolverSpec{}.onNetworks(on).Servers)
	}
	return c, nil
}

// hasNames tells whether the containers on a network find each other by name.
func (s Spec) hasNames() bool { return !Predefined(s.Name) }

// dnsConfig returns what the resolver of a container knows from the networks that it is on, in the order in which they are
// asked.
func (n *Networks) dnsConfig(on []*attachment) dns.Config {
	c := dns.Config{ResolvConf: n.resolvConf(), Internal: true}
	for _, a := range on {
		c.Internal = c.Internal && a.network.Internal
		if a.network.hasNames() {
			c.Networks = append(c.Networks, dns.Network{Name: a.network.Name, Zone: n.zone(a.network.ID).Dir, TTL: a.options.ttl})
		}
	}
	return c
}

// dnsConfig returns what the container's resolver knows, or nil if it has none.
func (b *building) dnsConfig() *dns.Config {
	if !b.asks {
		return nil
	}
	c := b.Networks.dnsConfig(elect(b.all))
	c.NdotsSet = b.source().NdotsSet()
	c.Servers = serverAddresses(b.resolver().Servers)
	return &c
}

// resolver returns what is asked of the container's name resolution: by its user, and what that leaves open by its networks.
func (b *building) resolver() ResolverSpec { return b.Record.Spec.Resolver.onNetworks(elect(b.all)) }

// onNetworks fills in what the networks say, the one with the default route first.
func (r ResolverSpec) onNetworks(on []*attachment) ResolverSpec {
	servers, search := len(r.Servers) == 0, len(r.Search) == 0
	for _, a := range on {
		if servers {
			r.Servers = appendNew(r.Servers, a.options.servers)
		}
		if search {
			r.Search = appendNew(r.Search, a.options.search)
		}
	}
	return r
}

// appendNew appends those that are not there yet.
func appendNew[T comparable](to, from []T) []T {
	for _, v := range from {
		if !slices.Contains(to, v) {
			to = append(to, v)
		}
	}
	return to
}

func serverAddresses(servers []netip.Addr) []netip.AddrPort {
	var all []netip.AddrPort
	for _, server := range servers {
		all = append(all, netip.AddrPortFrom(server, 53))
	}
	return all
}
