package network

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

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
	taken, err := b.takeWay(c, family, routes)
	if err != nil {
		return err
	}
	for _, r := range routes {
		if !taken.is(r) {
			if err := c.DeleteRoute(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// way is a default route.
type way struct {
	index   int // of the interface; 0: there is none
	gateway netip.Addr
}

func (w way) is(r netlink.Route) bool {
	via, _ := netip.AddrFromSlice(r.Gw)
	return r.LinkIndex == w.index && via.Unmap() == w.gateway
}

// takeWay has the default route be the best that there is, unless it is among the routes already. What the container's user has
// closed, by a link that is down or IPv6 that is switched off, is none.
func (b *building) takeWay(c *rtnl.Conn, family int, routes []netlink.Route) (way, error) {
	for _, w := range b.ways(family) {
		if slices.ContainsFunc(routes, w.is) {
			return w, nil
		}
		err := c.ReplaceDefaultRoute(w.index, w.gateway, family)
		closed := slices.ContainsFunc([]unix.Errno{unix.EHOSTUNREACH, unix.ENETUNREACH, unix.ENETDOWN, unix.EACCES},
			func(errno unix.Errno) bool { return errors.Is(err, errno) })
		if !closed {
			return w, err
		}
	}
	return way{}, nil
}

// ways returns the default routes that there can be, the best one first: not by an interface that somebody has renamed.
func (b *building) ways(family int) (all []way) {
	for _, a := range elect(b.all) {
		gateway := a.Gateway4
		if family == netlink.FAMILY_V6 {
			gateway = a.Gateway6
		}
		if gateway.IsValid() && a.index != 0 {
			all = append(all, way{a.index, a.routed(gateway)})
		}
	}
	return all
}
