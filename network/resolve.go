package network

import (
	"fmt"

	"ctr/network/dns"
)

// Resolver returns what the resolver of a container would know that is on these networks, given by name or ID, and on all that
// have names if none is given. It returns ErrNotFound for one that there is not, and ErrInvalid for one without names.
func (n *Networks) Resolver(refs ...string) (dns.Config, error) {
	var on []Spec
	for _, ref := range refs {
		s, err := n.Find(ref)
		if err != nil {
			return dns.Config{}, err
		}
		if !s.hasNames() {
			return dns.Config{}, withHint(fmt.Errorf("%w: containers have no names on network %s", ErrInvalid, s.Name),
				"they have on networks that were made by network create")
		}
		on = append(on, s)
	}
	if len(refs) == 0 {
		all, err := n.List()
		if err != nil {
			return dns.Config{}, err
		}
		for _, s := range all {
			if s.hasNames() {
				on = append(on, s)
			}
		}
	}
	c := dns.Config{ResolvConf: n.resolvConf(), Internal: len(on) > 0}
	for _, s := range on {
		o, err := s.options()
		if err != nil {
			return c, err
		}
		c.Internal = c.Internal && s.Internal
		c.Networks = append(c.Networks, dns.Network{Name: s.Name, Zone: n.zone(s.ID).Dir, TTL: o.ttl})
	}
	return c, nil
}

// hasNames tells whether the containers on a network find each other by name.
func (s Spec) hasNames() bool { return !Predefined(s.Name) }
