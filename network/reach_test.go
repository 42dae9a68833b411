package network

import (
	"net/netip"
	"testing"

	"ctr/network/firewall"
)

// TestFromHost: who reaches a port of the host, for whatever rules of others keep out.
func TestFromHost(t *testing.T) {
	four, six := netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("fd01::2")
	only4, both := &Published{IPv4: four}, &Published{IPv4: four, IPv6: six}
	only6, mixed := &Published{IPv6: six}, &Published{IPv4: four, IPv6: six, Routed6: true}
	v4, v6, all := firewall.Families{IPv4: true}, firewall.Families{IPv6: true}, firewall.Families{IPv4: true, IPv6: true}
	for _, test := range []struct {
		name, host string // "": every address
		to         *Published
		b          barriers
		want       string
	}{
		{"nothing in the way", "", only4, barriers{}, "whoever reaches this host"},
		{"one family of the host", "0.0.0.0", both, barriers{}, "whoever reaches this host by IPv4"},
		{"the proxy's family", "::", only4, barriers{}, "whoever reaches this host by IPv6"},
		{"one address", "10.0.0.1", both, barriers{}, "this host, its containers, and whoever comes in by eth0"},
		{"an address that is gone", "10.0.0.9", both, barriers{}, "nobody: the host does not have the address any more"},
		{"the host alone", "127.0.0.1", both, barriers{}, "this host only"},
		{"routed in part", "0.0.0.0", mixed, barriers{}, "whoever reaches this host by IPv4"},

		{"nothing in, and nobody needs the proxy", "", both, barriers{input: all}, "whoever reaches this host"},
		{"nothing in", "", only4, barriers{input: all}, "whoever reaches this host by IPv4"},
		{"nothing in by a family that is led", "", only4, barriers{input: v4}, "whoever reaches this host"},
		{"nothing in by the proxy's family", "::", only4, barriers{input: v6}, "this host only"},
		{"nothing in, IPv6 alone", "", only6, barriers{input: all}, "whoever reaches this host by IPv6"},

		{"nothing out", "", only4, barriers{output: v4}, "whoever reaches this host by IPv4, itself not by 127.0.0.1 and [::1]"},
		{"nothing out by the other family", "", only4, barriers{output: v6}, "whoever reaches this host"},
		{"nothing out by one of two", "", both, barriers{output: v4}, "whoever reaches this host, itself not by 127.0.0.1"},
		{"nothing out to the proxy's target", "::", only4, barriers{output: v4}, "nobody"},
		{"nothing out to a loopback port", "127.0.0.1", only4, barriers{output: v4}, "nobody"},
		{"nothing out to a loopback port's other family", "::1", only4, barriers{output: v6}, "this host only"},
		{"nothing out, one address", "10.0.0.1", both, barriers{output: all}, "this host, its containers, and whoever comes in by eth0"},

		{"nothing through", "", both, barriers{forward: all}, "this host only"},
		{"nothing through by one of two", "", both, barriers{forward: v4}, "whoever reaches this host by IPv6"},
		{"nothing through but the proxy's", "", only4, barriers{forward: v4}, "whoever reaches this host by IPv6"},
		{"nothing through, one address", "10.0.0.1", both, barriers{forward: all}, "this host only"},
		{"nothing through nor out", "", both, barriers{forward: all, output: all}, "this host only, itself not by 127.0.0.1 and [::1]"},
		{"nothing through, the host alone", "127.0.0.1", both, barriers{forward: all}, "this host only"},
	} {
		var host netip.Addr
		link := ""
		if test.host != "" {
			host = netip.MustParseAddr(test.host)
		}
		if test.host == "10.0.0.1" {
			link = "eth0"
		}
		if got := test.b.fromHost(host, test.to, link); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
