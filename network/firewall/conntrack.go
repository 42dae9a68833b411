package firewall

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"ctr/network/netns"
)

// The parts of linux/netfilter/nfnetlink_conntrack.h that x/sys has not got.
const (
	ctGet, ctDelete                       = 1, 2       // IPCTNL_MSG_CT_*
	ctaTupleOrig, ctaTupleReply           = 1, 2       // CTA_*
	ctaID, ctaZone, ctaFilter             = 12, 18, 25 //
	ctaTupleIP, ctaTupleProto             = 1, 2       // CTA_TUPLE_*
	ctaProtoNum, ctaProtoSrc, ctaProtoDst = 1, 2, 3    // CTA_PROTO_*
	ctaFilterOrig, ctaFilterReply         = 1, 2       // CTA_FILTER_*_FLAGS

	filterSource, filterProtocol, filterSourcePort = uint32(1), uint32(1) << 3, uint32(1) << 4 // CTA_FILTER_F_*
)

// tuple is one direction of a tracked connection.
type tuple struct {
	protocol byte
	src, dst netip.AddrPort
}

// connection is a tracked connection: what the first packet had, and what answers have. The two differ where addresses are
// translated.
type connection struct {
	orig, reply tuple
	name        []netlink.Attribute // what names it to the kernel
}

// tracker is a netlink socket to the connection tracking of a network namespace.
type tracker struct{ nl *netlink.Conn }

func dialTracker(ns *netns.Handle) (tracker, error) {
	config := &netlink.Config{}
	if ns != nil {
		config.NetNS = ns.Fd()
	}
	nl, err := netlink.Dial(unix.NETLINK_NETFILTER, config)
	if err != nil {
		return tracker{}, fmt.Errorf("open netlink socket: %w", err)
	}
	return tracker{nl}, nil
}

// filter says which connections the kernel lists: those whose tuple of one direction has a source address, a protocol, a source
// port of it. Kernels before 5.8 list all; every use looks again.
type filter struct {
	direction uint16 // ctaTupleOrig or ctaTupleReply
	source    netip.Addr
	protocol  byte
	port      uint16
}

// attributes encodes the filter.
func (f filter) attributes() ([]byte, error) {
	var flags uint32
	e := netlink.NewAttributeEncoder()
	e.ByteOrder = binary.BigEndian
	e.Nested(f.direction, func(e *netlink.AttributeEncoder) error {
		if f.source.IsValid() {
			flags |= filterSource
			kind := uint16(1) // CTA_IP_V4_SRC
			if f.source.Is6() {
				kind = 3 // CTA_IP_V6_SRC
			}
			e.Nested(ctaTupleIP, func(e *netlink.AttributeEncoder) error {
				e.Bytes(kind, f.source.AsSlice())
				return nil
			})
		}
		if f.protocol != 0 {
			flags |= filterProtocol
			e.Nested(ctaTupleProto, func(e *netlink.AttributeEncoder) error {
				e.Uint8(ctaProtoNum, f.protocol)
				if f.port != 0 {
					flags |= filterSourcePort
					e.Uint16(ctaProtoSrc, f.port)
				}
				return nil
			})
		}
		return nil
	})
	e.Nested(ctaFilter, func(e *netlink.AttributeEncoder) error {
		e.ByteOrder = binary.NativeEndian
		orig, reply := flags, uint32(0)
		if f.direction == ctaTupleReply {
			orig, reply = 0, flags
		}
		e.Uint32(ctaFilterOrig, orig)
		e.Uint32(ctaFilterReply, reply)
		return nil
	})
	return e.Encode()
}

// drop makes the kernel delete the connections of a family that a filter chooses, which must have a direction's tuple. It is an
// error before Linux 6.8, which takes the tuple for the name of one connection and misses parts of it.
func (t tracker) drop(family byte, f filter) error {
	data, err := f.attributes()
	if err != nil {
		return fmt.Errorf("encode filter: %w", err)
	}
	if _, err := t.nl.Execute(message(ctDelete, netlink.Acknowledge, family, data)); err != nil {
		return fmt.Errorf("forget tracked connections: %w", err)
	}
	return nil
}

// forget deletes the connections of a family that the filter and the test choose.
func (t tracker) forget(family byte, f filter, chosen func(connection) bool) error {
	data, err := f.attributes()
	if err != nil {
		return fmt.Errorf("encode filter: %w", err)
	}
	replies, err := t.nl.Execute(message(ctGet, netlink.Dump, family, data))
	if err != nil {
		return fmt.Errorf("list tracked connections: %w", err)
	}
	for _, m := range replies {
		if len(m.Data) < 4 {
			continue
		}
		c, err := decodeConnection(m.Data[4:])
		if err != nil {
			return fmt.Errorf("read tracked connection: %w", err)
		}
		if !chosen(c) {
			continue
		}
		name, err := netlink.MarshalAttributes(c.name)
		if err != nil {
			return err
		}
		_, err = t.nl.Execute(message(ctDelete, netlink.Acknowledge, family, name))
		if err != nil && !errors.Is(err, unix.ENOENT) { // ended by itself
			return fmt.Errorf("forget tracked connection: %w", err)
		}
	}
	return nil
}

func message(kind uint16, flags netlink.HeaderFlags, family byte, data []byte) netlink.Message {
	return netlink.Message{
		Header: netlink.Header{
			Type: netlink.HeaderType(unix.NFNL_SUBSYS_CTNETLINK<<8 | kind), Flags: netlink.Request | flags,
		},
		Data: append([]byte{family, unix.NFNETLINK_V0, 0, 0}, data...),
	}
}

// decodeConnection reads one connection.
func decodeConnection(data []byte) (c connection, err error) {
	err = eachAttribute(data, func(kind uint16, data []byte) error {
		switch kind {
		case ctaTupleOrig:
			c.name = append(c.name, netlink.Attribute{Type: kind | unix.NLA_F_NESTED, Data: data})
			return c.orig.decode(data)
		case ctaTupleReply:
			return c.reply.decode(data)
		case ctaID, ctaZone:
			c.name = append(c.name, netlink.Attribute{Type: kind, Data: data})
		}
		return nil
	})
	return c, err
}

func (t *tuple) decode(data []byte) error {
	var src, dst netip.Addr
	var sport, dport uint16
	err := eachAttribute(data, func(part uint16, data []byte) error {
		return eachAttribute(data, func(kind uint16, data []byte) error {
			switch {
			case part == ctaTupleIP && (kind == 1 || kind == 3): // CTA_IP_V4_SRC, CTA_IP_V6_SRC
				src, _ = netip.AddrFromSlice(data)
			case part == ctaTupleIP && (kind == 2 || kind == 4): // CTA_IP_V4_DST, CTA_IP_V6_DST
				dst, _ = netip.AddrFromSlice(data)
			case part == ctaTupleProto && kind == ctaProtoNum && len(data) > 0:
				t.protocol = data[0]
			case part == ctaTupleProto && kind == ctaProtoSrc && len(data) == 2:
				sport = binary.BigEndian.Uint16(data)
			case part == ctaTupleProto && kind == ctaProtoDst && len(data) == 2:
				dport = binary.BigEndian.Uint16(data)
			}
			return nil
		})
	})
	t.src, t.dst = netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport)
	return err
}

// track calls do with the connection tracking of the host, unless nothing is tracked.
func (f *Firewall) track(do func(tracker) error) error {
	var count string
	_ = f.inside(func() error {
		b, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
		count = strings.TrimSpace(string(b))
		return err
	})
	if count == "0" {
		return nil
	}
	t, err := dialTracker(f.ns)
	if err != nil {
		return err
	}
	defer func() { go t.nl.Close() }() // may wait, as for session.close
	return do(t)
}

// forgetOthers makes the kernel forget UDP connections to published ports that lead elsewhere: a client that never pauses
// would stay with what it found before the port was published (Docker's issues 8795 and 44752). TCP clients connect anew.
func (f *Firewall) forgetOthers(ports []Port) error {
	ports = slices.DeleteFunc(slices.Clone(ports), func(p Port) bool { return p.Protocol != "udp" })
	if len(ports) == 0 {
		return nil
	}
	byPort := map[uint16][]Port{}
	families := map[byte]bool{}
	for _, p := range ports {
		byPort[p.HostPort] = append(byPort[p.HostPort], p)
		families[versionOf(p.ContainerIP).family] = true
	}
	local := f.localAddresses()
	stale := func(c connection) bool {
		return slices.ContainsFunc(byPort[c.orig.dst.Port()], func(p Port) bool {
			host := p.HostIP.Unmap()
			if !host.IsValid() || host.IsUnspecified() {
				if !local()[c.orig.dst.Addr()] {
					return false // somebody else's port 53
				}
			} else if host != c.orig.dst.Addr() {
				return false
			}
			return c.reply.src != netip.AddrPortFrom(p.ContainerIP.Unmap(), p.ContainerPort)
		})
	}
	return f.track(func(t tracker) error {
		var err error
		for family := range families {
			err = errors.Join(err, t.forget(family, filter{direction: ctaTupleOrig, protocol: unix.IPPROTO_UDP}, stale))
		}
		return err
	})
}

// fewTargets are so many ports that one order for each costs less than a list of the container's connections. The list holds a
// spinlock for each of the table's buckets: 10 ms for 262,144 of them; an order skips the empty ones, in 0.4 ms.
const fewTargets = 16

// forgetTargets makes the kernel forget the connections that were sent on to the containers of ports.
func (f *Firewall) forgetTargets(ports []Port) error {
	type target struct {
		protocol byte
		address  netip.AddrPort
	}
	targets := map[target]bool{}
	containers := map[netip.Addr]bool{}
	for _, p := range ports {
		ip := p.ContainerIP.Unmap()
		targets[target{protocols[p.Protocol], netip.AddrPortFrom(ip, p.ContainerPort)}] = true
		containers[ip] = true
	}
	each := func(t tracker) error {
		for to := range targets {
			ip := to.address.Addr()
			err := t.drop(versionOf(ip).family, filter{ctaTupleReply, ip, to.protocol, to.address.Port()})
			if err != nil {
				return err
			}
		}
		return nil
	}
	return f.track(func(t tracker) error {
		if len(targets) <= fewTargets && each(t) == nil {
			return nil
		}
		var err error
		for ip := range containers {
			err = errors.Join(err, t.forget(versionOf(ip).family, filter{direction: ctaTupleReply, source: ip},
				func(c connection) bool { return targets[target{c.reply.protocol, c.reply.src}] }))
		}
		return err
	})
}

// Forget makes the kernel forget the connections that containers which are gone have begun, by their addresses: who gets an address
// next gets none of the answers.
func (f *Firewall) Forget(addrs ...netip.Addr) error {
	if len(addrs) == 0 {
		return nil
	}
	err := f.track(func(t tracker) error {
		var errs []error
		for _, ip := range addrs {
			ip = ip.Unmap()
			family, begun := versionOf(ip).family, filter{direction: ctaTupleOrig, source: ip}
			if t.drop(family, begun) != nil {
				errs = append(errs, t.forget(family, begun, func(c connection) bool { return c.orig.src.Addr() == ip }))
			}
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return fmt.Errorf("forget connections of containers: %w", err)
	}
	return nil
}

// ForgetIntruders makes the kernel forget the connections that came to the networks from elsewhere while there were no rules:
// their next packets are looked at as the first ones of a connection are. Published ports have been asked for by the host's
// addresses, so their connections stay; those of the host, which no guard keeps out, begin anew on the way.
func (f *Firewall) ForgetIntruders(networks []Network) error {
	intrudes := func(c connection) bool {
		src, dst := c.orig.src.Addr(), c.orig.dst.Addr()
		return slices.ContainsFunc(networks, func(n Network) bool {
			inside := func(a netip.Addr) bool {
				return slices.ContainsFunc(n.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
			}
			return inside(dst) && !inside(src)
		})
	}
	err := f.track(func(t tracker) error {
		return errors.Join(
			t.forget(unix.NFPROTO_IPV4, filter{direction: ctaTupleOrig}, intrudes),
			t.forget(unix.NFPROTO_IPV6, filter{direction: ctaTupleOrig}, intrudes))
	})
	if err != nil {
		return fmt.Errorf("forget connections from before the rules: %w", err)
	}
	return nil
}

// localAddresses returns a function that tells the host's addresses, which it looks up when it is first called.
func (f *Firewall) localAddresses() func() map[netip.Addr]bool {
	var found map[netip.Addr]bool
	return func() map[netip.Addr]bool {
		if found == nil {
			found = map[netip.Addr]bool{}
			_ = f.inside(func() error {
				addrs, err := net.InterfaceAddrs()
				for _, a := range addrs {
					if p, err := netip.ParsePrefix(a.String()); err == nil {
						found[p.Addr()] = true
					}
				}
				return err // none found: nothing is forgotten, and the flow ends when its client pauses
			})
		}
		return found
	}
}
