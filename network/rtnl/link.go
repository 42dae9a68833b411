package rtnl

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"ctr/network/netns"
)

// Link is what can be told of a link in a moment.
type Link struct {
	Index    int
	Name     string
	Kind     string // bridge, veth, ...; empty: a real device
	Alias    string
	MTU      int
	MAC      net.HardwareAddr
	Loopback bool
	Up       bool // as it was told to be
	Works    bool // it has a carrier, and the kernel has taken notice of it
	Peer     int  // the index of the link behind it: a veth's peer (in that one's namespace), a VLAN's or macvlan's parent
	Master   int
}

// filterSkipStats leaves the counters out of an answer: most of its size (RTEXT_FILTER_SKIP_STATS, linux/rtnetlink.h).
const filterSkipStats = 1 << 3

// Link returns the link of that name, or ErrNotFound.
func (c *Conn) Link(name string) (Link, error) {
	l, err := c.get(0, nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	if err != nil {
		return Link{}, fmt.Errorf("look up link %q: %w", name, err)
	}
	return l, nil
}

// get returns one link, by its index or by an attribute.
func (c *Conn) get(index int, attrs ...*nl.RtAttr) (Link, error) {
	req := newRequest(unix.RTM_GETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(filterSkipStats)))
	for _, a := range attrs {
		req.AddData(a)
	}
	answers, err := c.request(req)
	switch {
	case errors.Is(err, unix.ENODEV):
		return Link{}, ErrNotFound
	case err != nil:
		return Link{}, err
	case len(answers) == 0:
		return Link{}, errors.New("empty answer")
	}
	return parseLink(answers[0])
}

// awaited is how long AwaitWorking and AwaitLocal wait, and retry how long they do between two questions.
const (
	awaited = 200 * time.Millisecond
	retry   = 100 * time.Microsecond
)

// AwaitWorking waits until the kernel has taken notice of a link's carrier. Before that the link drops what it is to send, and
// a bridge what comes in by such a port, and the next try comes a second later. The kernel notices in the background, but
// since Linux 6.8 it does so first when somebody asks (commit facd15dfd691, "net: core: synchronize link-watch when carrier
// is queried"); an older one is asked again and again for a while. A link without a carrier is no error.
func (c *Conn) AwaitWorking(index int) error {
	for end := time.Now().Add(awaited); ; {
		l, err := c.get(index)
		if err != nil {
			return fmt.Errorf("look up link %d: %w", index, err)
		}
		if l.Works || time.Now().After(end) {
			return nil
		}
		time.Sleep(retry) //nolint:forbidigo // No event tells this namespace what another link's worker has done.
	}
}

// AwaitLocal waits until the namespace takes what is sent to its IPv6 address. The kernel makes the route that says so in the
// background (addrconf_dad_work), also where no duplicate address detection is asked for, and drops what comes before.
func (c *Conn) AwaitLocal(a netip.Addr) error {
	for end := time.Now().Add(awaited); ; {
		routes, err := c.RouteGet(a.AsSlice())
		if err != nil && !errors.Is(err, unix.ENETUNREACH) {
			return fmt.Errorf("look up route to %s: %w", a, err)
		}
		if len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL || time.Now().After(end) {
			return nil
		}
		time.Sleep(retry) //nolint:forbidigo // No event tells this namespace what another link's worker has done.
	}
}

// Veth is a pair of links to be made. The host's end is made up; the peer down, for the caller to configure first.
type Veth struct {
	Name     string
	Master   int // the index of the bridge that the host's end becomes a port of
	MTU      int // of both; 0: the kernel's default
	PeerName string
	PeerMAC  net.HardwareAddr // nil: random
	PeerNS   *netns.Handle    // the peer is made there, since moving it would wait for an RCU grace period
}

// AddVeth makes the pair in one message. It returns the indices of the host's end and, in its own namespace, of the peer.
func (c *Conn) AddVeth(v Veth) (host, peer int, err error) {
	// The echo has told the indices since Linux 6.2 (commit d88e136cab37, "rtnetlink: Honour NLM_F_ECHO flag in
	// rtnl_newlink_create").
	req := newRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ECHO|unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Flags, msg.Change = unix.IFF_UP, unix.IFF_UP
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(v.Name)))
	req.AddData(nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(uint32(v.Master))))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
	end := info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.VETH_INFO_PEER, nil)
	nl.NewIfInfomsgChild(end, unix.AF_UNSPEC)
	end.AddRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(v.PeerName))
	end.AddRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(v.PeerNS.Fd())))
	if v.PeerMAC != nil {
		end.AddRtAttr(unix.IFLA_ADDRESS, v.PeerMAC)
	}
	if v.MTU > 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(v.MTU))))
		end.AddRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(v.MTU)))
	}
	req.AddData(info)
	answers, err := c.request(req)
	if err != nil {
		return 0, 0, fmt.Errorf("make veth pair %s: %w", v.Name, err)
	}
	var made Link
	if len(answers) > 0 {
		made, err = parseLink(answers[0])
	} else {
		made, err = c.Link(v.Name)
	}
	return made.Index, made.Peer, err
}

// parseLink reads an RTM_NEWLINK message.
func parseLink(data []byte) (Link, error) {
	if len(data) < unix.SizeofIfInfomsg {
		return Link{}, errors.New("read link: short message")
	}
	msg := nl.DeserializeIfInfomsg(data)
	l := Link{Index: int(msg.Index), Up: msg.Flags&unix.IFF_UP != 0, Loopback: msg.Flags&unix.IFF_LOOPBACK != 0}
	attrs, err := nl.ParseRouteAttr(data[msg.Len():])
	if err != nil {
		return Link{}, fmt.Errorf("read link: %w", err)
	}
	for _, a := range attrs {
		switch a.Attr.Type {
		case unix.IFLA_IFNAME:
			l.Name = unix.ByteSliceToString(a.Value)
		case unix.IFLA_IFALIAS:
			l.Alias = unix.ByteSliceToString(a.Value)
		case unix.IFLA_MTU:
			l.MTU = number(a.Value)
		case unix.IFLA_LINK:
			l.Peer = number(a.Value)
		case unix.IFLA_MASTER:
			l.Master = number(a.Value)
		case unix.IFLA_OPERSTATE:
			l.Works = len(a.Value) == 1 && a.Value[0] == netlink.OperUp
		case unix.IFLA_ADDRESS:
			l.MAC = a.Value
		case unix.IFLA_LINKINFO:
			infos, err := nl.ParseRouteAttr(a.Value)
			if err != nil {
				return Link{}, fmt.Errorf("read link: %w", err)
			}
			for _, i := range infos {
				if i.Attr.Type == nl.IFLA_INFO_KIND {
					l.Kind = unix.ByteSliceToString(i.Value)
				}
			}
		}
	}
	return l, nil
}

// number reads an attribute of four bytes.
func number(b []byte) int {
	if len(b) < 4 {
		return 0
	}
	return int(int32(nl.NativeEndian().Uint32(b)))
}

// newRequest returns a message that Conn.request numbers.
func newRequest(kind, flags int) *nl.NetlinkRequest {
	return &nl.NetlinkRequest{NlMsghdr: unix.NlMsghdr{
		Len: unix.SizeofNlMsghdr, Type: uint16(kind), Flags: unix.NLM_F_REQUEST | uint16(flags),
	}}
}

// AddAddr gives the link an address that is usable at once: no duplicate address detection, which would take 1.5 s.
// An address that is there already is good.
func (c *Conn) AddAddr(index int, p netip.Prefix) error {
	a := &netlink.Addr{IPNet: ipNet(p), LinkIndex: index}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	if err := c.AddrAdd(byIndex(index), a); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add address %s: %w", p, err)
	}
	return nil
}

// Addrs returns the addresses of a link.
func (c *Conn) Addrs(index int) ([]netip.Prefix, error) {
	list, err := whole(func() ([]netlink.Addr, error) { return c.AddrList(byIndex(index), netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list addresses of link %d: %w", index, err)
	}
	all := make([]netip.Prefix, 0, len(list))
	for _, a := range list {
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			ones, _ := a.Mask.Size()
			all = append(all, netip.PrefixFrom(ip.Unmap(), ones))
		}
	}
	return all, nil
}

// Holders returns the indexes of the links that have addresses.
func (c *Conn) Holders() (map[netip.Addr]int, error) {
	list, err := whole(func() ([]netlink.Addr, error) { return c.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	holders := map[netip.Addr]int{}
	for _, a := range list {
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			holders[ip.Unmap()] = a.LinkIndex
		}
	}
	return holders, nil
}

// SetMaster makes a link a port of a bridge.
func (c *Conn) SetMaster(index, master int) error {
	if err := c.LinkSetMasterByIndex(byIndex(index), master); err != nil {
		return fmt.Errorf("make link %d a port: %w", index, err)
	}
	return nil
}

// Isolate keeps a port of a bridge apart from all other ports that are so: nothing passes between them but by way of the
// host (IFLA_BRPORT_ISOLATED, Linux 4.18).
func (c *Conn) Isolate(port int) error {
	if err := c.LinkSetIsolated(byIndex(port), true); err != nil {
		return fmt.Errorf("isolate port %d: %w", port, err)
	}
	return nil
}

// Isolated tells whether Isolate was called for the port.
func (c *Conn) Isolated(port int) (bool, error) {
	p, err := c.LinkGetProtinfo(byIndex(port))
	if err != nil {
		return false, fmt.Errorf("look at port %d: %w", port, err)
	}
	return p.Isolated, nil
}

// SetUp sets a link up.
func (c *Conn) SetUp(index int) error {
	if err := c.LinkSetUp(byIndex(index)); err != nil {
		return fmt.Errorf("set link %d up: %w", index, err)
	}
	return nil
}

// SetAlias marks a link.
func (c *Conn) SetAlias(index int, alias string) error {
	if err := c.LinkSetAlias(byIndex(index), alias); err != nil {
		return fmt.Errorf("mark link %d: %w", index, err)
	}
	return nil
}

// Delete deletes a link. One that is gone is good.
func (c *Conn) Delete(index int) error {
	if err := c.LinkDel(byIndex(index)); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete link %d: %w", index, err)
	}
	return nil
}

// byIndex names a link for the library, which then does not look it up.
func byIndex(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

// ipNet returns the prefix in the library's type.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
