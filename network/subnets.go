package network

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/network/ipam"
	"ctr/network/resolvconf"
	"ctr/network/rtnl"
)

// taken is one range of addresses that a new subnet must not overlap, and why.
type taken struct {
	prefix netip.Prefix
	why    string
	link   int // of the host, which a route leads to; 0: there is none
}

// chooseSubnets checks the subnets that the user gave against those of other networks and of the host, and chooses those that
// are missing.
func (n *Networks) chooseSubnets(c *rtnl.Conn, s *Spec, others []Spec) error {
	if s.Driver == "host" || s.Driver == "null" {
		return nil
	}
	ours := subnetsOf(others)
	hosts, err := n.reserved(c)
	if err != nil {
		return err
	}
	for _, sub := range s.Subnets {
		if err := firstOverlap(sub.Prefix, ours); err != nil {
			return err
		}
		// The subnet of a macvlan or an ipvlan is that of the host's link, as a rule.
		if s.Driver == "bridge" {
			if err := firstOverlap(sub.Prefix, hosts); err != nil {
				return err
			}
		}
	}
	return s.addSubnets(append(ours, hosts...), n.seed())
}

// addSubnets chooses a subnet for each family that has none.
func (s *Spec) addSubnets(all []taken, seed string) error {
	prefixes := make([]netip.Prefix, len(all))
	for i, t := range all {
		prefixes[i] = t.prefix
	}
	has := map[bool]bool{}
	for _, sub := range s.Subnets {
		has[sub.Prefix.Addr().Is6()] = true
	}
	var given []Subnet
	add := func(pools []ipam.Pool) error {
		p, err := ipam.NextSubnet(pools, prefixes)
		if err != nil {
			return err
		}
		sub := Subnet{Prefix: p}
		sub.Gateway = sub.addresses().First()
		given = append(given, sub)
		return nil
	}
	if s.IPv4 && !has[false] {
		if err := add(ipam.LocalPools()); err != nil {
			return withHint(err, "choose one with --subnet, or remove networks that are not in use")
		}
	}
	if s.IPv6 && !has[true] {
		if err := add([]ipam.Pool{ipam.ULAPool(seed)}); err != nil {
			return err
		}
	}
	s.Subnets = sortedByFamily(append(slices.Clone(s.Subnets), given...))
	return nil
}

// sortedByFamily returns the subnets of IPv4, then those of IPv6.
func sortedByFamily(subnets []Subnet) []Subnet {
	var v4, v6 []Subnet
	for _, s := range subnets {
		if s.Prefix.Addr().Is4() {
			v4 = append(v4, s)
		} else {
			v6 = append(v6, s)
		}
	}
	return append(v4, v6...)
}

// subnetsOf returns the subnets of networks.
func subnetsOf(networks []Spec) []taken {
	var all []taken
	for _, s := range networks {
		if s.ConfigOnly {
			continue
		}
		for _, sub := range s.Subnets {
			all = append(all, taken{prefix: sub.Prefix, why: fmt.Sprintf("%s is network %s's", sub.Prefix, s.Name)})
		}
	}
	return all
}

// firstOverlap returns the error of a subnet that is taken.
func firstOverlap(p netip.Prefix, all []taken) error {
	for _, t := range all {
		if p.Overlaps(t.prefix) {
			return overlap(p, t.why)
		}
	}
	return nil
}

// minBits is the length of the largest subnet that can be.
const minBits = 8

// reserved returns what the host uses itself: what it routes to its own links, and its name servers. Routes through a gateway
// and those that are larger than any subnet do not count: a VPN that routes half the world would leave nothing.
func (n *Networks) reserved(c *rtnl.Conn) ([]taken, error) {
	routes, err := c.Routes()
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	links := map[int]string{}
	var all []taken
	for _, r := range routes {
		if r.Dst == nil || r.Gw != nil || r.Via != nil || len(r.MultiPath) > 0 || r.Type != unix.RTN_UNICAST {
			continue
		}
		p, ok := prefixOf(r)
		if !ok || p.Bits() < minBits || p.Addr().IsLinkLocalUnicast() || p.Addr().IsMulticast() {
			continue
		}
		if links[r.LinkIndex] == "" {
			links[r.LinkIndex] = linkName(c, r.LinkIndex)
		}
		all = append(all, taken{p, fmt.Sprintf("this host routes %s to its link %s", p, links[r.LinkIndex]), r.LinkIndex})
	}
	conf, err := readBounded(filepath.Join(n.config.Etc, "resolv.conf"))
	if err != nil {
		return nil, err
	}
	for _, a := range resolvconf.Parse(conf).Servers {
		a = a.WithZone("")
		all = append(all, taken{prefix: netip.PrefixFrom(a, a.BitLen()), why: fmt.Sprintf("this host asks name server %s", a)})
	}
	return all, nil
}

// prefixOf returns where a route leads.
func prefixOf(r netlink.Route) (netip.Prefix, bool) {
	a, ok := netip.AddrFromSlice(r.Dst.IP)
	ones, _ := r.Dst.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), ones).Masked(), ok
}

// linkName returns a link's name for a message.
func linkName(c *rtnl.Conn, index int) string {
	l, err := c.LinkByIndex(index)
	if err != nil {
		return fmt.Sprintf("%d", index)
	}
	return l.Attrs().Name
}

// seed names this installation on this machine for ever: its IPv6 subnets are made of it.
func (n *Networks) seed() string {
	id, err := os.ReadFile(filepath.Join(n.config.Etc, "machine-id"))
	if err != nil {
		id = nil // machine-id(5) is missing in some containers: the path has to do
	}
	return strings.TrimSpace(string(id)) + n.config.Data
}
