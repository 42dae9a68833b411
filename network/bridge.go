package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/network/netns"
	"ctr/network/rtnl"
)

// bridge is the driver of networks whose endpoints are veth pairs on a bridge of the host.
type bridge struct{}

var _ driver = bridge{}

func (bridge) check(c *rtnl.Conn, s *Spec) error {
	if name := s.Options[OptBridgeName]; name != "" {
		s.Bridge = name
	}
	if s.Bridge == "" {
		s.Bridge = "br-" + s.ID[:12]
	}
	found, err := c.Link(s.Bridge)
	if err == nil {
		return foreignLink(s.Bridge, found)
	}
	if !errors.Is(err, rtnl.ErrNotFound) {
		return err
	}
	return nil
}

// foreignLink returns the error of a name that is taken by a link that is not ours.
func foreignLink(name string, found rtnl.Link) error {
	kind := found.Kind
	if kind == "" {
		kind = "link"
	}
	return withHint(fmt.Errorf("%s %q %w on this host and belongs to somebody else", kind, name, ErrExists),
		"choose another name with -o "+OptBridgeName+"=NAME")
}

// bridgeMAC returns the MAC of a network's bridge. It is fixed: a bridge without one takes that of a port, and changes it when
// the port goes, which leaves the neighbours with a dead ARP entry.
func bridgeMAC(s Spec) net.HardwareAddr {
	var v4, v6 netip.Addr
	for _, n := range s.Subnets {
		switch {
		case n.Gateway.Is4() && !v4.IsValid():
			v4 = n.Gateway
		case n.Gateway.Is6() && !v6.IsValid():
			v6 = n.Gateway
		}
	}
	return macOf(v4, v6)
}

func (b bridge) ensure(c *rtnl.Conn, s Spec, tag string) (device, error) {
	found, err := c.Link(s.Bridge)
	made := errors.Is(err, rtnl.ErrNotFound)
	if made {
		found, err = b.make(c, s)
	}
	if err != nil {
		return device{}, fmt.Errorf("bridge %s: %w", s.Bridge, err)
	}
	if !b.recognise(found, s, tag) {
		return device{}, foreignLink(s.Bridge, found)
	}
	if want := mark(tag, s.ID); found.Alias != want {
		if err := c.SetAlias(found.Index, want); err != nil {
			return device{}, err
		}
	}
	if err := b.configure(c, s, found); err != nil {
		return device{}, fmt.Errorf("bridge %s: %w", s.Bridge, err)
	}
	return device{index: found.Index, mtu: found.MTU, made: made}, nil
}

// recognise tells whether a link is the network's bridge. One without a mark but with the MAC that we give is one that was
// being made when somebody was killed, or is being made by somebody at this moment.
func (bridge) recognise(l rtnl.Link, s Spec, tag string) bool {
	return l.Alias == mark(tag, s.ID) || l.Alias == "" && l.Kind == "bridge" && l.MAC.String() == bridgeMAC(s).String()
}

// make makes the bridge. Where another process was faster, the bridge is that one's.
func (bridge) make(c *rtnl.Conn, s Spec) (rtnl.Link, error) {
	o, err := s.options()
	if err != nil {
		return rtnl.Link{}, err
	}
	mtu := o.mtu
	if mtu == 0 {
		if mtu, err = defaultMTU(c); err != nil {
			return rtnl.Link{}, err
		}
		if mtu != 0 && s.IPv6 {
			mtu = max(mtu, minMTU6) // a tunnel may have less, where the kernel has no IPv6
		}
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = s.Bridge, mtu, bridgeMAC(s)
	if err := c.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil && !errors.Is(err, unix.EEXIST) {
		return rtnl.Link{}, fmt.Errorf("make: %w", err)
	}
	return c.Link(s.Bridge)
}

// configure gives the bridge its settings and addresses and sets it up. It runs at every start of a container, so it repairs
// what somebody took away.
func (bridge) configure(c *rtnl.Conn, s Spec, l rtnl.Link) error {
	own, _ := s.sysctls()
	for key, value := range own {
		if err := setSysctl(key, value); err != nil {
			return err
		}
	}
	if !l.Up {
		if err := c.SetUp(l.Index); err != nil {
			return err
		}
	}
	for _, p := range s.bridgeAddrs() {
		if err := c.AddAddr(l.Index, p); err != nil {
			return err
		}
	}
	for _, n := range s.Subnets {
		if s.Internal {
			continue
		}
		if err := forward(n.Prefix.Addr().Is6()); err != nil {
			return err
		}
	}
	return nil
}

// bridgeAddrs returns the addresses of a network's bridge, with the lengths of their subnets: its gateways, but for those that are
// somebody else, or nobody.
func (s Spec) bridgeAddrs() (all []netip.Prefix) {
	o, _ := s.options()
	for _, n := range s.Subnets {
		six := n.Prefix.Addr().Is6()
		if o.gateway(six) != gatewayIsolated && (six || !o.inhibit4) {
			all = append(all, netip.PrefixFrom(n.Gateway, n.Prefix.Bits()))
		}
	}
	return all
}

// isGateway tells whether the bridge of a network has the address of a gateway.
func (s Spec) isGateway(a netip.Addr) bool {
	return slices.ContainsFunc(s.bridgeAddrs(), func(p netip.Prefix) bool { return p.Addr() == a })
}

// sysctls returns the settings that a bridge network needs: its bridge's own ones, and those of the host.
func (s Spec) sysctls() (own, host map[string]string) {
	conf := "ipv6/conf/" + s.Bridge
	own = map[string]string{
		conf + "/accept_ra":    "0", // or a container could route the host's traffic
		conf + "/disable_ipv6": "1",
	}
	if s.IPv6 {
		own[conf+"/disable_ipv6"] = "0" // whatever the host's default for new links is
	}
	host = map[string]string{}
	for _, n := range s.Subnets {
		switch {
		case s.Internal:
		case n.Prefix.Addr().Is6():
			host[forwarding6] = "1"
		default:
			host[forwarding4] = "1"
		}
	}
	return own, host
}

// defaultMTU returns the MTU of the link that the host's default route takes, or 0, the kernel's default.
func defaultMTU(c *rtnl.Conn) (int, error) {
	routes, err := c.Routes()
	if err != nil {
		return 0, fmt.Errorf("look for the default route: %w", err)
	}
	i := slices.IndexFunc(routes, func(r netlink.Route) bool { return isDefault(r) && r.LinkIndex != 0 })
	if i < 0 {
		return 0, nil
	}
	l, err := c.LinkByIndex(routes[i].LinkIndex)
	if err != nil {
		return 0, fmt.Errorf("look up the link of the default route: %w", err)
	}
	// The MTU of lo is no measure, should somebody route everything there.
	if l.Attrs().Flags&net.FlagLoopback != 0 {
		return 0, nil
	}
	return l.Attrs().MTU, nil
}

// isDefault tells whether a route is a default route.
func isDefault(r netlink.Route) bool {
	if r.Dst == nil {
		return true
	}
	ones, _ := r.Dst.Mask.Size()
	return ones == 0
}

func (b bridge) attach(c *rtnl.Conn, s Spec, d device, e *Endpoint, ns *netns.Handle, mark string) (int, error) {
	mac, err := net.ParseMAC(e.MAC)
	if err != nil {
		return 0, err
	}
	host, peer, err := c.AddVeth(rtnl.Veth{
		Name: e.HostSide, Master: d.index, MTU: d.mtu, PeerName: e.Interface, PeerMAC: mac, PeerNS: ns,
	})
	if errors.Is(err, unix.EXFULL) {
		return 0, fmt.Errorf("network %s is full: a Linux bridge has at most 1023 ports", s.Name)
	}
	if err != nil {
		return 0, err
	}
	e.HostIndex = host
	if err := c.SetAlias(host, mark); err != nil {
		return 0, err
	}
	return peer, b.setUpPort(c, s, d, e, mac)
}

// setUpPort gives a port what keeps it in order. It may be done again.
func (bridge) setUpPort(c *rtnl.Conn, s Spec, d device, e *Endpoint, mac net.HardwareAddr) error {
	o, err := s.options()
	if err != nil {
		return err
	}
	if o.noICC {
		// Frames from port to port pass no rule of the firewall, unless the module br_netfilter is loaded and switched on
		// (sysctl net.bridge.bridge-nf-call-iptables), for all bridges of the host: this needs neither.
		if err := c.Isolate(e.HostIndex); err != nil {
			return err
		}
	}
	// The host's end is a port: it needs no address of its own. The peer is still down, so there is none yet.
	if err := setSysctl("ipv6/conf/"+e.HostSide+"/disable_ipv6", "1"); err != nil {
		return err
	}
	// While the kernel takes an earlier owner of the address down, the bridge would lead its MAC to the dying port for
	// tens of milliseconds, and its stack would answer. The entry also keeps a neighbour from claiming the MAC.
	if err := c.AddForwarding(e.HostIndex, mac); err != nil {
		return err
	}
	// A container has NET_RAW by default: whatever it says in ARP, the host sends what is for others to them.
	for _, p := range e.prefixes() {
		if err := c.SetNeighbour(d.index, p.Addr(), mac); err != nil {
			return err
		}
	}
	return nil
}

// meetGateway tells an endpoint, in its namespace, the MAC of its gateways, so that no neighbour can pose as one.
func (bridge) meetGateway(c *rtnl.Conn, a *attachment) error {
	for _, gateway := range a.gatewayAddrs() {
		if !a.network.isGateway(gateway) {
			continue
		}
		if err := c.SetNeighbour(a.index, gateway, bridgeMAC(a.network)); err != nil {
			return err
		}
	}
	return nil
}

// forgetNeighbours takes away what setUpPort has told the host about addresses of an endpoint. What is behind the port goes with the
// port.
func (bridge) forgetNeighbours(c *rtnl.Conn, bridge string, addrs []netip.Addr) error {
	l, err := c.Link(bridge)
	if errors.Is(err, rtnl.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range addrs {
		errs = append(errs, c.DeleteNeighbour(l.Index, a))
	}
	return errors.Join(errs...)
}

func (bridge) remove(c *rtnl.Conn, s Spec, tag string) error {
	found, err := c.Link(s.Bridge)
	if errors.Is(err, rtnl.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if !(bridge{}).recognise(found, s, tag) {
		return nil // somebody else's, who took the name when ours was gone
	}
	return c.Delete(found.Index)
}

// haveIPv6 tells whether the kernel has IPv6.
func haveIPv6() bool {
	_, err := os.Stat(sysctls + "ipv6")
	return err == nil
}
