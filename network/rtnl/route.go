package rtnl

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// AddDefaultRoute adds the default route through the gateway, or, with the zero gateway, straight to the link.
func (c *Conn) AddDefaultRoute(index int, gateway netip.Addr, family int) error {
	if err := c.RouteAdd(defaultRoute(index, gateway, family)); err != nil {
		return fmt.Errorf("add default route through %s: %w", gateway, err)
	}
	return nil
}

// AddLinkRoute adds a route straight to the link, for packets that are sent from an address.
func (c *Conn) AddLinkRoute(index int, to netip.Prefix, from netip.Addr) error {
	err := c.RouteAdd(&netlink.Route{LinkIndex: index, Dst: ipNet(to), Src: from.AsSlice(), Scope: netlink.SCOPE_LINK})
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add route to %s: %w", to, err)
	}
	return nil
}

// ReplaceDefaultRoute does so in the place of a default route that is there.
func (c *Conn) ReplaceDefaultRoute(index int, gateway netip.Addr, family int) error {
	if err := c.RouteReplace(defaultRoute(index, gateway, family)); err != nil {
		return fmt.Errorf("replace default route by one through %s: %w", gateway, err)
	}
	return nil
}

// DeleteRoute deletes a route. One that is gone is good.
func (c *Conn) DeleteRoute(r netlink.Route) error {
	if err := c.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("delete route %s: %w", r, err)
	}
	return nil
}

func defaultRoute(index int, gateway netip.Addr, family int) *netlink.Route {
	bits, any := 32, net.IPv4zero
	if family == netlink.FAMILY_V6 {
		bits, any = 128, net.IPv6zero
	}
	r := &netlink.Route{LinkIndex: index, Dst: &net.IPNet{IP: any, Mask: net.CIDRMask(0, bits)}}
	if gateway.IsValid() {
		r.Gw = gateway.AsSlice()
	} else {
		r.Scope = netlink.SCOPE_LINK
	}
	return r
}
