package network

import (
	"ctr/network/firewall"
	"ctr/network/netns"
)

// ResolverPorts are those on which a container's resolver listens at 127.0.0.11.
type ResolverPorts struct {
	UDP uint16 `json:"udp"`
	TCP uint16 `json:"tcp"`
}

// redirected tells whether port 53 leads to the container's resolver, if it has one. Who has NET_ADMIN in the container can remove the
// rules that do it.
func (r *Record) redirected(ns *netns.Handle) (bool, error) {
	if r.DNS == nil || r.ResolverPorts == (ResolverPorts{}) {
		return true, nil
	}
	return firewall.LeadsDNS(ns, r.ResolverPorts.UDP, r.ResolverPorts.TCP)
}

// redirect has it lead there again.
func (r *Record) redirect(ns *netns.Handle) error {
	if done, err := r.redirected(ns); done || err != nil {
		return err
	}
	return firewall.RedirectDNS(ns, r.ResolverPorts.UDP, r.ResolverPorts.TCP)
}

// checkResolver looks at what leads to a container's resolver.
func (s *survey) checkResolver(r *Record, found func(Endpoint, bool, string, ...any)) error {
	return r.within(func(ns *netns.Handle) error {
		done, err := r.redirected(ns)
		if err == nil && !done {
			found(Endpoint{}, true, "the rules that lead to its resolver are missing or changed: it finds no names")
		}
		return err
	})
}

// within does something with the namespace of a sandbox, unless that has just ended.
func (r *Record) within(do func(*netns.Handle) error) error {
	if !r.Owner.Alive() {
		return nil
	}
	ns, err := r.openNetNS()
	if err != nil {
		return nil
	}
	defer ns.Close()
	return do(ns)
}
