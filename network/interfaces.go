package network

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"ctr/network/rtnl"
)

// routed returns what the default route names: nothing in an ipvlan of layer 3, which knows no neighbours.
func (a *attachment) routed(gateway netip.Addr) netip.Addr {
	if a.network.Driver == "ipvlan" && a.options.mode != "" && a.options.mode != "l2" {
		return netip.Addr{}
	}
	return gateway
}

// configure sets one interface up.
func (a *attachment) configure(c *rtnl.Conn) error {
	settings := "ipv6/conf/" + a.Interface
	if !a.network.IPv6 {
		if err := setSysctl(settings+"/disable_ipv6", "1"); err != nil {
			return err
		}
	} else {
		// Some distributions disable IPv6 by default, in new namespaces too (ip-sysctl.rst, devconf_inherit_init_net).
		for key, value := range map[string]string{"disable_ipv6": "0", "accept_ra": "0", "accept_dad": "0"} {
			if err := setSysctl(settings+"/"+key, value); err != nil {
				return err
			}
		}
	}
	if err := a.setSysctls(); err != nil {
		return err
	}
	for _, p := range []netip.Prefix{a.Endpoint.IPv4, a.Endpoint.IPv6} {
		if p.IsValid() {
			// An ipvlan refuses the address, and a macvlan the MAC, of another one on the same parent.
			if err := untilBuried(buryAddress, func() error { return c.AddAddr(a.index, p) }, unix.EADDRINUSE); err != nil {
				return err
			}
		}
	}
	up := func() error { return c.SetUp(a.index) }
	if err := untilBuried(buryAddress, up, unix.EADDRINUSE); err != nil {
		return err
	}
	if err := a.routeSubnets(c); err != nil || a.HostIndex == 0 {
		return err // the parent of a macvlan or an ipvlan may well have no carrier
	}
	if err := (bridge{}).meetGateway(c, a); err != nil {
		return err
	}
	if err := c.AwaitWorking(a.index); err != nil || !a.network.IPv6 {
		return err
	}
	return c.AwaitLocal(a.Endpoint.IPv6.Addr())
}

// routeSubnets leads to those of the network's subnets that the endpoint has no address in: it is one link, which may have no
// gateway, or another one than the default route.
func (a *attachment) routeSubnets(c *rtnl.Conn) error {
	for _, p := range a.prefixes() {
		for _, sub := range a.network.Subnets {
			if sub.Prefix == p.Masked() || sub.Prefix.Addr().Is4() != p.Addr().Is4() {
				continue
			}
			if err := c.AddLinkRoute(a.index, sub.Prefix, p.Addr()); err != nil {
				return err
			}
		}
	}
	return nil
}
