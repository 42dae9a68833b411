package firewall

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"ctr/network/netns"
)

// tableDNS is the table in a container's network namespace.
const tableDNS = "ctr-dns"

// RedirectDNS leads 127.0.0.11:53 in the network namespace of a container to the ports on which its resolver listens at
// 127.0.0.11, and their answers back: what listens there needs not hold port 53, which is the container's own. It is
// idempotent. There is no undo: the rules end with the namespace.
func RedirectDNS(ns *netns.Handle, udp, tcp uint16) error {
	s, err := dial(ns, nftables.TableFamilyIPv4, tableDNS)
	if err != nil {
		return fmt.Errorf("redirect DNS: %w", err)
	}
	defer s.close()
	// A namespace that is new has no such table. To replace one waits for an RCU grace period: ten milliseconds and more.
	s.gathered.CreateTable(s.table)
	err = errors.Join(s.install(dnsTable(udp, tcp)), s.commit())
	if errors.Is(err, unix.EEXIST) {
		s.gathered.AddTable(s.table)
		s.gathered.DelTable(s.table)
		err = errors.Join(s.install(dnsTable(udp, tcp)), s.commit())
		if err == nil {
			err = forgetResolver(ns, udp, tcp)
		}
	}
	if err != nil {
		return fmt.Errorf("redirect DNS: %w", err)
	}
	return nil
}

// forgetResolver makes the kernel forget the questions that went to a resolver on other ports: a client that keeps its socket
// would ask there for ever, where nobody answers any more.
func forgetResolver(ns *netns.Handle, udp, tcp uint16) error {
	t, err := dialTracker(ns)
	if err != nil {
		return err
	}
	defer func() { go t.nl.Close() }() // may wait, as for session.close
	address := netip.AddrFrom4([4]byte{127, 0, 0, 11})
	for protocol, now := range map[byte]uint16{unix.IPPROTO_UDP: udp, unix.IPPROTO_TCP: tcp} {
		err = errors.Join(err, t.forget(unix.AF_INET, filter{direction: ctaTupleOrig, protocol: protocol}, func(c connection) bool {
			return c.orig.dst == netip.AddrPortFrom(address, 53) && c.reply.src.Port() != now
		}))
	}
	return err
}

// dnsTable returns the table for a resolver on the ports. Connection tracking leads answers back by itself; the rules in
// postrouting are for an answer that comes after it has forgotten the question.
func dnsTable(udp, tcp uint16) ruleset {
	const dns = 53
	address := []byte{127, 0, 0, 11}
	there := chain{
		name: "output", kind: nftables.ChainTypeNAT,
		hook: nftables.ChainHookOutput, priority: nftables.ChainPriorityNATDest,
	}
	back := chain{
		name: "postrouting", kind: nftables.ChainTypeNAT,
		hook: nftables.ChainHookPostrouting, priority: nftables.ChainPriorityNATSource,
	}
	for _, p := range []struct {
		protocol Protocol
		port     uint16
	}{{"udp", udp}, {"tcp", tcp}} {
		protocol := is(l4proto, []byte{protocols[p.protocol]})
		there.rules = append(there.rules, because("", is(ip4.daddr, address), protocol, is(thDport, port(dns)),
			nat(expr.NATTypeDestNAT, ip4, address, p.port)))
		back.rules = append(back.rules, because("", is(ip4.saddr, address), protocol, is(thSport, port(p.port)),
			nat(expr.NATTypeSourceNAT, ip4, address, dns)))
	}
	return ruleset{family: nftables.TableFamilyIPv4, name: tableDNS, chains: []chain{there, back}}
}
