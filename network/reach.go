package network

import (
	"fmt"
	"net/netip"
	"slices"

	"ctr/network/firewall"
	"ctr/network/rtnl"
)

// Reach says who reaches the ports that a sandbox publishes: for each of Record.Ports a sentence, and notes about all, on rules
// of others that users take to be in the way and that are not.
func (n *Networks) Reach(r *Record) (from []string, notes []string, err error) {
	err = n.onHost(func(c *rtnl.Conn) error {
		for _, p := range r.Ports {
			text, err := reach(c, p)
			if err != nil {
				return err
			}
			from = append(from, text)
		}
		return nil
	})
	if err != nil || len(from) == 0 {
		return from, nil, err
	}
	shut, err := n.firewall.Inputs()
	for _, chain := range shut {
		notes = append(notes, fmt.Sprintf("%s lets nothing in by default, but does not see published ports, which are forwarded: "+
			"publish on 127.0.0.1, or drop in a forward chain of your own (docs/firewall.md)", chain))
	}
	if err != nil {
		return from, notes, err
	}
	leading := n.leadingTo(r)
	for _, f := range leading {
		shut, err := n.firewall.Outputs(f)
		if err != nil {
			return from, notes, err
		}
		notes = append(notes, shut...)
	}
	barriers, err := n.firewall.Barriers(leading)
	for _, b := range barriers {
		if b.Cure {
			b.Text += ": 'ctr network repair' lets it pass"
		}
		notes = append(notes, b.Text)
	}
	return from, notes, err
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

// reach says who reaches one port.
func reach(c *rtnl.Conn, p Port) (string, error) {
	switch {
	case !p.HostIP.IsValid():
		return "whoever reaches this host", nil
	case p.HostIP == netip.IPv4Unspecified():
		return "whoever reaches this host by IPv4", nil
	case p.HostIP == netip.IPv6Unspecified():
		return "whoever reaches this host by IPv6", nil
	case p.HostIP.IsLoopback():
		return "this host only", nil
	}
	links, err := c.Links()
	if err != nil {
		return "", fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		addrs, err := c.Addrs(l.Attrs().Index)
		if err != nil {
			return "", err
		}
		for _, a := range addrs {
			if a.Addr() == p.HostIP {
				return fmt.Sprintf("this host, its containers, and whoever comes in by %s", l.Attrs().Name), nil
			}
		}
	}
	return "nobody: the host does not have the address any more", nil
}
