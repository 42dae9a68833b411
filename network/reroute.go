package network

import (
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"ctr/network/rtnl"
)

// reroute has the default routes of a container that runs lead to the endpoints that are elected now. It runs on a thread in
// the container's namespace. Routes over links that are none of ours are left alone.
func (b *building) reroute() error {
	c, err := rtnl.DialCurrent()
	if err != nil {
		return err
	}
	defer c.Close()
	ours := map[int]bool{}
	for _, e := range b.Record.Endpoints { // the one that is to go, too
		if link, err := c.Link(e.Interface); err == nil {
			ours[link.Index] = true
			for _, a := range b.all {
				if a.Interface == e.Interface {
					a.index = link.Index
				}
			}
		}
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		if err := b.rerouteFamily(c, family, ours); err != nil {
			return err
		}
	}
	return nil
}

// rerouteFamily does so for one family.
func (b *building) rerouteFamily(c *rtnl.Conn, family int, ours map[int]bool) error {
	routes, err := c.Routes()
	if err != nil {
		return err
	}
	routes = slices.DeleteFunc(routes, func(r netlink.Route) bool {
		return r.Family != family || !isDefault(r) || !ours[r.LinkIndex]
	})
	index, gateway := b.defaultRoute(family)
	there := func(r netlink.Route) bool {
		via, _ := netip.AddrFromSlice(r.Gw)
		return r.LinkIndex == index && via.Unmap() == gateway
	}
	if index != 0 && !slices.ContainsFunc(routes, there) {
		if err := c.ReplaceDefaultRoute(index, gateway, family); err != nil {
			return err
		}
	}
	for _, r := range routes {
		if !there(r) {
			if err := c.DeleteRoute(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// defaultRoute returns the interface and the gateway of the default route; 0 if there is to be none.
func (b *building) defaultRoute(family int) (index int, gateway netip.Addr) {
	for _, a := range elect(b.all) {
		gateway := a.Gateway4
		if family == netlink.FAMILY_V6 {
			gateway = a.Gateway6
		}
		if gateway.IsValid() {
			return a.index, a.routed(gateway)
		}
	}
	return 0, netip.Addr{}
}
