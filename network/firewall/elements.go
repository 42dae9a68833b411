package firewall

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"iter"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// element is one element of a set. Its comment says whose it is: the bridge of a network, the owner of a port.
type element struct {
	set     string
	key     string // bytes, as the kernel compares them
	end     string // of an interval: its last key where the set is a concatenation, else the one behind its last
	value   string // in a map of addresses
	verdict *expr.Verdict
	comment string
}

// id says which element of which set it is. The end of an interval does not count: two of the same start are one too many.
func (e element) id() string { return e.set + "\x00" + e.key }

// maxComment is the most that nft prints of an element's comment (NFTNL_UDATA_COMMENT_MAXLEN, less the terminator).
const maxComment = 127

// describe says what AddNetwork set for a network, for `nft list` and for the next AddNetwork to compare.
func (n Network) describe() string {
	words := []string{"v" + version}
	for _, p := range n.Prefixes {
		words = append(words, p.String())
		if slices.Contains(n.Routed, p) {
			words = append(words, "routed")
		}
		if slices.Contains(n.Unprotected, p) {
			words = append(words, "unprotected")
		}
	}
	for _, g := range n.Gateways {
		words = append(words, g.String())
	}
	for _, link := range n.Trusted {
		words = append(words, "trusted", link)
	}
	for _, flag := range []struct {
		set  bool
		word string
	}{{n.Internal, "internal"}, {n.NoICC, "no-icc"}, {n.NoMasquerade, "no-masquerade"}} {
		if flag.set {
			words = append(words, flag.word)
		}
	}
	text := strings.Join(words, " ")
	if len(text) > maxComment {
		sum := sha256.Sum256([]byte(text))
		return words[0] + " " + hex.EncodeToString(sum[:16])
	}
	return text
}

// elements returns the elements of a network.
func (n Network) elements() []element {
	name := string(ifname(n.Bridge))
	into, within := chainToNetwork, expr.VerdictAccept
	if n.Internal {
		into = chainToInternal
	}
	if n.NoICC {
		within = expr.VerdictDrop
	}
	list := []element{
		{set: setNetworks, key: name, verdict: verdict(expr.VerdictGoto, into), comment: n.describe()},
		{set: setBridges, key: name, comment: n.Bridge},
		{set: setWithin, key: name + name, verdict: verdict(within, ""), comment: n.Bridge},
	}
	if n.Internal {
		list = append(list, element{set: setInternal, key: name, comment: n.Bridge})
	}
	if n.NoICC {
		list = append(list, element{set: setApart, key: name, comment: n.Bridge})
	}
	for _, p := range n.Prefixes {
		v, p := versionOf(p.Addr()), p.Masked()
		list = append(list, onLink(setOwn+v.suffix(), n.Bridge, p.Addr(), last(p), n.Bridge))
		if n.Internal {
			list = append(list, interval(setGuarded+v.suffix(), p, n.Bridge))
			continue
		}
		for _, link := range n.Trusted {
			for first, last := range n.betweenGateways(p) {
				list = append(list, onLink(setTrusted+v.suffix(), link, first, last, n.Bridge))
			}
		}
		routed, unprotected := slices.Contains(n.Routed, p), slices.Contains(n.Unprotected, p)
		if !n.NoMasquerade && !routed {
			list = append(list, interval(setMasqueraded+v.suffix(), p, n.Bridge))
		}
		if routed {
			list = append(list, interval(setRouted+v.suffix(), p, n.Bridge))
		}
		if unprotected {
			list = append(list, interval(setUnprotected+v.suffix(), p, n.Bridge))
		}
		if !n.NoMasquerade && !routed && !unprotected {
			list = append(list, interval(setGuarded+v.suffix(), p, n.Bridge))
			continue
		}
		// Outside knows its containers by their own addresses: only the gateway is nobody else's.
		for _, g := range n.Gateways {
			if p.Contains(g) {
				list = append(list, interval(setGuarded+v.suffix(), netip.PrefixFrom(g, g.BitLen()), n.Bridge))
			}
		}
	}
	return list
}

// belongs tells whether an element that the kernel has is one of the network on the bridge.
func belongs(e element, bridge string) bool {
	if e.set == setNetworks {
		return e.key == string(ifname(bridge))
	}
	return e.comment == bridge
}

// networkSets are the sets that hold elements of networks, portSets those of ports.
func networkSets() []string {
	sets := []string{setNetworks, setBridges, setInternal, setApart, setWithin}
	for _, v := range []ipVersion{ip4, ip6} {
		for _, set := range []string{setOwn, setGuarded, setMasqueraded, setRouted, setUnprotected, setTrusted} {
			sets = append(sets, set+v.suffix())
		}
	}
	return sets
}

func portSets() []string {
	var sets []string
	for _, v := range []ipVersion{ip4, ip6} {
		for _, set := range []string{setPublished, setPublishedOn, setOneAddress, setSelf, setDirect} {
			sets = append(sets, set+v.suffix())
		}
	}
	return sets
}

// elements returns the elements of a published port. An address that no interface has to itself (anywhere) is taken
// wherever it arrives.
func (p Port) elements(anywhere func(netip.Addr) bool) []element {
	protocol, ok := protocols[p.Protocol]
	host := p.HostIP.Unmap()
	if !ok || host.IsValid() && host.Is4() != p.ContainerIP.Is4() {
		return nil // a client of the other family reaches the container by the proxy only
	}
	v := versionOf(p.ContainerIP)
	service := func(port uint16) string { return string([]byte{protocol, 0, 0, 0}) + portKey(port) }
	if p.Direct {
		return []element{{set: setDirect + v.suffix(), key: addressKey(p.ContainerIP) + service(p.ContainerPort), comment: p.Owner}}
	}
	port := service(p.HostPort)
	target := addressKey(p.ContainerIP) + portKey(p.ContainerPort)
	list := []element{{set: setSelf + v.suffix(), key: addressKey(p.ContainerIP) + port, comment: p.Owner}}
	if !host.IsValid() || host.IsUnspecified() {
		return append(list, element{set: setPublished + v.suffix(), key: port, value: target, comment: p.Owner})
	}
	key := addressKey(host) + port
	if host.IsLoopback() {
		list = nil
	} else {
		list = append(list, element{set: setPublishedOn + v.suffix(), key: key, value: target, comment: p.Owner})
	}
	if host.IsLoopback() || !anywhere(host) {
		list = append(list, element{set: setOneAddress + v.suffix(), key: key, comment: p.Owner})
	}
	return list
}

// protocols are the numbers of the protocols whose ports can be published.
var protocols = map[Protocol]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "sctp": unix.IPPROTO_SCTP}

// interval is an element of a set of prefixes.
func interval(set string, p netip.Prefix, comment string) element {
	// A prefix at the end of the address space has nothing behind it; no network may be there (multicast, reserved).
	return element{set: set, key: addressKey(p.Addr()), end: addressKey(last(p).Next()), comment: comment}
}

// onLink is an element of a set of ranges of addresses, each with a link.
func onLink(set, link string, first, last netip.Addr, comment string) element {
	name := string(ifname(link))
	return element{set: set, key: name + addressKey(first), end: name + addressKey(last), comment: comment}
}

// betweenGateways yields the ranges, first and last address, that a subnet has without the gateways: what its containers may have.
func (n Network) betweenGateways(p netip.Prefix) iter.Seq2[netip.Addr, netip.Addr] {
	return func(yield func(first, last netip.Addr) bool) {
		first := p.Addr()
		for _, g := range slices.SortedFunc(slices.Values(n.Gateways), netip.Addr.Compare) {
			if !p.Contains(g) {
				continue
			}
			if first.Less(g) && !yield(first, g.Prev()) {
				return
			}
			first = g.Next()
		}
		if p.Contains(first) {
			yield(first, last(p))
		}
	}
}

// last returns the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func versionOf(a netip.Addr) ipVersion {
	if a.Unmap().Is4() {
		return ip4
	}
	return ip6
}

func addressKey(a netip.Addr) string { return string(a.Unmap().AsSlice()) }

// portKey is a port in a concatenation, where each field fills registers of 4 bytes.
func portKey(port uint16) string {
	return string(binary.BigEndian.AppendUint16(nil, port)) + "\x00\x00"
}

// ifname is an interface name as the kernel compares it.
func ifname(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

// setsOf returns the sets that elements are in, each once.
func setsOf(list []element) []string {
	var sets []string
	for _, e := range list {
		if !slices.Contains(sets, e.set) {
			sets = append(sets, e.set)
		}
	}
	return sets
}

// difference returns what to remove from have and what to add to it to get want, in a stable order.
func difference(have, want []element) (remove, add []element) {
	missing := make(map[string]element, len(want))
	for _, e := range want {
		missing[e.id()] = e
	}
	for _, e := range have {
		if w, ok := missing[e.id()]; ok && same(e, w) {
			delete(missing, e.id())
		} else {
			remove = append(remove, e)
		}
	}
	for _, e := range want {
		if _, ok := missing[e.id()]; ok {
			add = append(add, e)
			delete(missing, e.id())
		}
	}
	return remove, add
}

// same tells whether two elements with the same key are equal.
func same(a, b element) bool {
	if (a.verdict == nil) != (b.verdict == nil) || a.verdict != nil && *a.verdict != *b.verdict {
		return false
	}
	return a.end == b.end && a.value == b.value && a.comment == b.comment
}

// bySet orders elements by their sets, so that each set is one message.
func bySet(list []element) [][]element {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b element) int { return cmp.Compare(a.set, b.set) })
	var sets [][]element
	for _, e := range list {
		if n := len(sets); n > 0 && sets[n-1][0].set == e.set {
			sets[n-1] = append(sets[n-1], e)
		} else {
			sets = append(sets, []element{e})
		}
	}
	return sets
}
