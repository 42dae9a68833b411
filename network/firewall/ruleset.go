package firewall

import (
	"slices"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// version is part of what AddNetwork compares: raise it when the rules below change, and a newer program replaces the
// rules of an older one at the next start of a container. A set whose type changes needs a new name.
const version = "5"

// ruleset is a table as it should be, but for the elements of its sets.
type ruleset struct {
	family nftables.TableFamily
	name   string
	sets   []set
	chains []chain
}

// set is a set, or a map if it has a value.
type set struct {
	name     string
	key      nftables.SetDatatype
	value    *nftables.SetDatatype
	interval bool
}

// chain is a chain; one with a hook is a base chain, and its policy is accept.
type chain struct {
	name     string
	kind     nftables.ChainType
	hook     *nftables.ChainHook
	priority *nftables.ChainPriority
	device   string // of the hook ingress
	rules    []rule
}

// rule is a rule with the comment that nft lists behind it.
type rule struct {
	comment    string
	statements statement
}

// because makes a rule of statements.
func because(comment string, statements ...statement) rule {
	return rule{comment, slices.Concat(statements...)}
}

// The sets and maps. Those of one family end in 4 or 6.
const (
	setNetworks    = "networks"     // bridge -> the chain for what goes into it
	setBridges     = "bridges"      // all bridges
	setInternal    = "internal"     // bridges of internal networks
	setApart       = "apart"        // bridges whose ports do not reach each other
	setWithin      = "within"       // bridge . bridge -> may its containers talk to each other?
	setOwn         = "own"          // bridge . subnet
	setGuarded     = "guarded"      // addresses reached only by their own bridge and from the host
	setMasqueraded = "masqueraded"  // subnets whose addresses stay behind the host's on the way out
	setPublished   = "published"    // protocol . port -> address . port
	setPublishedOn = "published-on" // address . protocol . port -> address . port
	setOneAddress  = "one-address"  // address . protocol . port: taken only where the address is
	setSelf        = "self"         // container . protocol . host's port: its own, left to the proxy
	setRouted      = "routed"       // subnets whose addresses are for everybody
	setDirect      = "direct"       // container . protocol . port: open at its own address, to whoever may reach that
	setTrusted     = "trusted"      // link . subnet: who comes in by the link may reach its addresses
	setUnprotected = "unprotected"  // subnets that outside reaches at any port
)

// The chains that others jump to.
const (
	chainToNetwork  = "to-network"
	chainToInternal = "to-internal"
	chainInternal   = "from-internal"
	chainOneAddress = "check-address"
	chainPublished  = "to-published"
)

// The types of the elements.
var (
	typeBridges = nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeIFName)
	typePort    = nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService)
)

// suffix names the sets of a family.
func (v ipVersion) suffix() string {
	if v.family == unix.NFPROTO_IPV4 {
		return "4"
	}
	return "6"
}

// addressType is nft's type of an address of a family.
func (v ipVersion) addressType() nftables.SetDatatype {
	if v.family == unix.NFPROTO_IPV4 {
		return nftables.TypeIPAddr
	}
	return nftables.TypeIP6Addr
}

// tableOf returns the table of an installation.
func tableOf(name string) ruleset {
	verdict := nftables.TypeVerdict
	rs := ruleset{
		family: nftables.TableFamilyINet,
		name:   name,
		sets: []set{
			{name: setNetworks, key: nftables.TypeIFName, value: &verdict},
			{name: setBridges, key: nftables.TypeIFName},
			{name: setInternal, key: nftables.TypeIFName},
			{name: setApart, key: nftables.TypeIFName},
			{name: setWithin, key: typeBridges, value: &verdict},
		},
	}
	for _, v := range []ipVersion{ip4, ip6} {
		address := v.addressType()
		target := nftables.MustConcatSetType(address, nftables.TypeInetService)
		addressPort := nftables.MustConcatSetType(address, nftables.TypeInetProto, nftables.TypeInetService)
		rs.sets = append(rs.sets,
			set{name: setOwn + v.suffix(), key: nftables.MustConcatSetType(nftables.TypeIFName, address), interval: true},
			set{name: setGuarded + v.suffix(), key: address, interval: true},
			set{name: setMasqueraded + v.suffix(), key: address, interval: true},
			set{name: setPublished + v.suffix(), key: typePort, value: &target},
			set{name: setPublishedOn + v.suffix(), key: addressPort, value: &target},
			set{name: setOneAddress + v.suffix(), key: addressPort},
			set{name: setSelf + v.suffix(), key: addressPort},
			set{name: setRouted + v.suffix(), key: address, interval: true},
			set{name: setDirect + v.suffix(), key: addressPort},
			set{name: setTrusted + v.suffix(), key: nftables.MustConcatSetType(nftables.TypeIFName, address), interval: true},
			set{name: setUnprotected + v.suffix(), key: address, interval: true},
		)
	}
	rs.chains = slices.Concat(guardChains(), filterChains(), natChains())
	return rs
}

// guardChains drop what comes in by the wrong link. They see the first packet of each connection, as all chains of the type nat
// do, and before those of others: look-ups of a concatenation with an interval save and restore the processor's registers
// (nft_set_pipapo), and paid by each packet they cost a sixth of the packet rate from container to container. What belongs to no
// connection is not forwarded anyway, and what was tracked before the rules came, ForgetIntruders ends.
func guardChains() []chain {
	lo := ifname("lo")
	guard := chain{
		name: "guard", kind: nftables.ChainTypeNAT,
		hook: nftables.ChainHookPrerouting, priority: new(*nftables.ChainPriorityNATDest - 10),
		rules: []rule{because("", is(iifname, lo), accept())},
	}
	for _, v := range []ipVersion{ip4, ip6} {
		guard.rules = append(guard.rules,
			because("a network's addresses, from elsewhere", nfproto(v), in(setGuarded+v.suffix(), v.daddr),
				notIn(setOwn+v.suffix(), iifname, v.daddr), notIn(setTrusted+v.suffix(), iifname, v.daddr), drop()),
			because("published on one address", nfproto(v),
				in(setOneAddress+v.suffix(), v.daddr, l4proto, thDport), jump(chainOneAddress)),
		)
	}
	return []chain{guard, {
		name: chainOneAddress,
		rules: []rule{
			because("never by a wire", loopback4(), drop()),
			because("containers know the host by any address", in(setBridges, iifname), accept()),
			because("only where the address is", fibNotLocalHere(), drop()),
		},
	}}
}

// filterChains decide who may talk to whom.
func filterChains() []chain {
	toNetwork := chain{
		name: chainToNetwork,
		rules: []rule{
			because("", ctEstablished(), accept()),
			// Early: where br_netfilter has bridged packets pass, each one of a flow that gets no reply comes here.
			because("container to container", vmap(setWithin, iifname, oifname)),
			because("no way out of an internal network", in(setInternal, iifname), drop()),
			because("published", ctDNAT(), accept()),
		},
	}
	for _, v := range []ipVersion{ip4, ip6} {
		toNetwork.rules = append(toNetwork.rules,
			because("published, and routed", nfproto(v), in(setRouted+v.suffix(), v.daddr),
				in(setDirect+v.suffix(), v.daddr, l4proto, thDport), accept()),
			because("published, and by a trusted link", nfproto(v), in(setTrusted+v.suffix(), iifname, v.daddr),
				in(setDirect+v.suffix(), v.daddr, l4proto, thDport), accept()),
			because("routed", nfproto(v), in(setRouted+v.suffix(), v.daddr), is(l4proto, []byte{v.icmp}), accept()),
			because("unprotected from outside", nfproto(v), in(setUnprotected+v.suffix(), v.daddr), notIn(setBridges, iifname), accept()),
		)
	}
	toNetwork.rules = append(toNetwork.rules, because("not published", drop()))
	return []chain{
		toNetwork,
		{
			name: chainToInternal,
			rules: []rule{
				because("container to container", vmap(setWithin, iifname, oifname)),
				because("no way into an internal network", drop()),
			},
		},
		{
			name: chainInternal,
			rules: []rule{
				because("asked by the host", ctEstablished(), accept()),
				because("", icmpv6(135), accept()),
				because("", icmpv6(136), accept()),
				because("no host for an internal network", drop()),
			},
		},
		{
			name: "forward", kind: nftables.ChainTypeFilter,
			hook: nftables.ChainHookForward, priority: nftables.ChainPriorityFilter,
			rules: []rule{
				because("into a network", vmap(setNetworks, oifname)),
				because("no way out of an internal network", in(setInternal, iifname), drop()),
			},
		},
		{
			name: "input", kind: nftables.ChainTypeFilter,
			hook: nftables.ChainHookInput, priority: nftables.ChainPriorityFilter,
			rules: []rule{
				because("", in(setInternal, iifname), toChain(chainInternal)),
			},
		},
	}
}

// natChains lead published ports to containers, and let containers out by the host's addresses. A container that asks for
// its own port is left to the proxy: where br_netfilter has bridged packets pass these chains (net.bridge.bridge-nf-call-*),
// the bridge would have to send the packet out by the port that it came in by, which it does in hairpin mode only. Likewise it
// sends nothing from one isolated port to another. Nor does the kernel route what a link-local address has sent.
func natChains() []chain {
	published := chain{
		name:  chainPublished,
		rules: []rule{because("not to be routed, left to the proxy", fromLinkLocal6(), accept())},
	}
	post := chain{
		name: "nat-postrouting", kind: nftables.ChainTypeNAT,
		hook: nftables.ChainHookPostrouting, priority: nftables.ChainPriorityNATSource,
	}
	for _, v := range []ipVersion{ip4, ip6} {
		published.rules = append(published.rules,
			because("a container's own port, left to the proxy", nfproto(v), in(setSelf+v.suffix(), v.saddr, l4proto, thDport), accept()),
			because("", dnatMap(v, setPublishedOn+v.suffix(), v.daddr, l4proto, thDport)),
			because("", dnatMap(v, setPublished+v.suffix(), l4proto, thDport)),
		)
		post.rules = append(post.rules,
			because("out of a network", nfproto(v), in(setMasqueraded+v.suffix(), v.saddr),
				notIn(setOwn+v.suffix(), oifname, v.saddr), masquerade()),
			because("published to its own network", ctDNAT(), nfproto(v),
				in(setOwn+v.suffix(), oifname, v.saddr), masquerade()),
		)
	}
	return []chain{
		published,
		{
			name: "nat-prerouting", kind: nftables.ChainTypeNAT,
			hook: nftables.ChainHookPrerouting, priority: nftables.ChainPriorityNATDest,
			rules: []rule{
				because("ports kept apart, left to the proxy", in(setApart, iifname), accept()),
				because("", fibLocal(), jump(chainPublished)),
			},
		},
		{
			name: "nat-output", kind: nftables.ChainTypeNAT,
			hook: nftables.ChainHookOutput, priority: nftables.ChainPriorityNATDest,
			rules: []rule{
				because("left to the proxy", loopback4(), accept()),
				because("left to the proxy", loopback6(), accept()),
				because("", fibLocal(), jump(chainPublished)),
			},
		},
		post,
	}
}
