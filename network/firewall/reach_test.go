package firewall_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"ctr/internal/testhost"
	"ctr/network/firewall"
)

var (
	labBridge = firewall.Network{
		Bridge: "ctr0", Prefixes: prefixes("172.17.0.0/16", "fd00:17::/64"), Gateways: addrs("172.17.0.1", "fd00:17::1"),
	}
	labSecond = firewall.Network{
		Bridge: "br-second", Prefixes: prefixes("172.18.0.0/16", "fd00:18::/64"), Gateways: addrs("172.18.0.1", "fd00:18::1"),
	}
	labNoICC = firewall.Network{
		Bridge: "br-noicc", Prefixes: prefixes("172.20.0.0/16"), Gateways: addrs("172.20.0.1"), NoICC: true,
	}
	labInternal = firewall.Network{
		Bridge: "br-internal", Prefixes: prefixes("172.19.0.0/16", "fd00:19::/64"), Gateways: addrs("172.19.0.1", "fd00:19::1"),
		Internal: true,
	}
)

// Published ports: on all addresses, on one, on loopback; from everywhere.
func TestPublishedPorts(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		l := newLab(t, h)
		l.network(t, labBridge)
		l.network(t, labSecond)
		a := l.container(t, "ctr0", "a", "172.17.0.2/16", "fd00:17::2/64")
		b := l.container(t, "ctr0", "b", "172.17.0.3/16", "fd00:17::3/64")
		c := l.container(t, "br-second", "c", "172.18.0.2/16", "fd00:18::2/64")
		a4, a6 := netip.MustParseAddr("172.17.0.2"), netip.MustParseAddr("fd00:17::2")
		l.publish(t, port("tcp", "", 8080, a4, 80), port("tcp", "", 8080, a6, 80), port("udp", "", 5555, a4, 80), port("udp", "", 5555, a6, 80),
			port("tcp", "10.1.0.1", 8081, a4, 80), port("tcp", "127.0.0.1", 8082, a4, 80), port("tcp", "", 8083, a4, 80),
			port("tcp", "172.17.0.1", 8084, a4, 80))
		// As kube-proxy does, so that it is not the kernel who drops what comes for 127.0.0.1.
		l.host.sysctl(t, "net.ipv4.conf.lan-a.route_localnet", "1")
		l.lanA.sysctl(t, "net.ipv4.conf.eth0.route_localnet", "1")
		l.lanA.ip(t, "address del 127.0.0.1/8 dev lo")
		l.host.ip(t, "address add fe80::11/64 dev lan-a nodad")
		l.lanA.ip(t, "address add fe80::12/64 dev eth0 nodad")
		l.lanA.ip(t, "route add 127.0.0.0/8 via 10.1.0.1 src 10.1.0.2")
		askAll(t, []question{
			// From outside the server sees who asks.
			{l.lanA, "tcp", "10.1.0.1:8080", "a 10.1.0.2"},
			{l.lanA, "udp", "10.1.0.1:5555", "a 10.1.0.2"},
			{l.lanA, "tcp", "[2001:db8:1::1]:8080", "a 2001:db8:1::2"},
			{l.lanA, "udp", "[2001:db8:1::1]:5555", "a 2001:db8:1::2"},
			{l.lanB, "tcp", "10.2.0.1:8080", "a 10.2.0.2"},
			{l.lanB, "tcp", "10.1.0.1:8080", "a 10.2.0.2"},
			{l.lanA, "tcp", "[2001:db8:1::1]:8083", "a 172.17.0.1"}, // IPv6 to a container that publishes IPv4: the proxy
			{l.lanA, "tcp", "[fe80::11%eth0]:8080", "a fd00:17::1"}, // the kernel routes nothing from there: the proxy
			{l.lanA, "udp", "[fe80::11%eth0]:5555", "a fd00:17::1"},
			{l.host, "tcp", "[fe80::11%lan-a]:8080", "a fd00:17::1"},
			// One address is that wire's only.
			{l.lanA, "tcp", "10.1.0.1:8081", "a 10.1.0.2"},
			{l.lanB, "tcp", "10.1.0.1:8081", ""},
			{l.lanB, "tcp", "10.2.0.1:8081", ""},
			{l.lanA, "tcp", "172.17.0.1:8084", ""},
			// Loopback is the host's only.
			{l.lanA, "tcp", "127.0.0.1:8082", ""},
			{l.lanA, "tcp", "10.1.0.1:8082", ""},
			{l.host, "tcp", "127.0.0.1:8082", "a 172.17.0.1"},
			// Containers and gateways are not reached from outside, by any port.
			{l.lanA, "tcp", "172.17.0.2:80", ""},
			{l.lanA, "udp", "172.17.0.2:80", ""},
			{l.lanB, "tcp", "172.17.0.2:80", ""},
			{l.lanA, "tcp", "[fd00:17::2]:80", ""},
			{l.lanA, "tcp", "172.17.0.1:8080", ""},
			{l.lanA, "tcp", "172.17.0.1:9999", ""},
			{l.lanA, "tcp", "[fd00:17::1]:8080", ""},
			// The host reaches them by all its addresses.
			{l.host, "tcp", "10.1.0.1:8080", "a 10.1.0.1"},
			{l.host, "tcp", "172.17.0.1:8080", "a 172.17.0.1"},
			{l.host, "tcp", "10.1.0.1:8081", "a 10.1.0.1"},
			{l.host, "tcp", "127.0.0.1:8080", "a 172.17.0.1"},
			{l.host, "udp", "127.0.0.1:5555", "a 172.17.0.1"},
			{l.host, "tcp", "[::1]:8080", "a fd00:17::1"},
			{l.host, "udp", "[::1]:5555", "a fd00:17::1"},
			{l.host, "tcp", "172.17.0.2:80", "a 172.17.0.1"},
			// Containers reach them by the host's addresses: their own ports, neighbours', other networks'.
			{a, "tcp", "10.1.0.1:8080", "a 172.17.0.1"},
			{b, "tcp", "10.1.0.1:8080", "a 172.17.0.1"},
			{b, "tcp", "172.17.0.1:8080", "a 172.17.0.1"},
			{b, "tcp", "172.17.0.1:8084", "a 172.17.0.1"},
			{b, "udp", "10.1.0.1:5555", "a 172.17.0.1"},
			{b, "tcp", "[2001:db8:1::1]:8080", "a fd00:17::1"},
			{b, "tcp", "172.17.0.2:80", "a 172.17.0.3"},
			{c, "tcp", "10.1.0.1:8080", "a 172.17.0.1"},
			{c, "tcp", "10.2.0.1:8080", "a 172.17.0.1"},
			{c, "tcp", "10.1.0.1:8081", "a 172.17.0.1"},
			{c, "tcp", "172.18.0.1:8080", "a 172.17.0.1"},
			{c, "tcp", "[2001:db8:1::1]:8080", "a fd00:17::1"},
			// But not by another bridge's gateway.
			{c, "tcp", "172.17.0.1:8080", ""},
			{c, "tcp", "172.17.0.1:8084", ""},
			{c, "tcp", "172.17.0.2:80", ""},
			{c, "tcp", "[fd00:17::1]:8080", ""},
			// Ports of others are left alone, published here or not.
			{a, "tcp", "10.1.0.2:8080", "lan-a 10.1.0.1"},
			{a, "udp", "10.1.0.2:80", "lan-a 10.1.0.1"},
			{a, "tcp", "[2001:db8:1::2]:8080", "lan-a 2001:db8:1::1"},
			{l.lanB, "tcp", "10.1.0.2:8080", "lan-a 10.2.0.2"},
			{l.host, "tcp", "10.1.0.2:8080", "lan-a 10.1.0.1"},
		})
		// A host whose rules somebody flushed still answers, by the proxy, and is no more open.
		run(t, "nft", "flush", "ruleset")
		askAll(t, []question{
			{l.lanA, "tcp", "10.1.0.1:8080", "a 172.17.0.1"},
			{l.lanA, "tcp", "10.1.0.1:8082", ""},
		})
		addNetwork(t, l.Firewall, labBridge)
		askAll(t, []question{{l.lanA, "tcp", "172.17.0.2:80", ""}})
	})
}

// Networks do not reach each other, nor each other's gateways; internal ones reach nothing.
func TestNetworksAreIsolated(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		l := newLab(t, h)
		for _, n := range []firewall.Network{labBridge, labSecond, labNoICC, labInternal} {
			l.network(t, n)
		}
		// What enable_icc=false needs of the bridge; it is not the default everywhere.
		l.host.sysctl(t, "net.bridge.bridge-nf-call-iptables", "1")
		l.host.ip(t, "address add 169.254.169.254/32 dev lo")
		a := l.container(t, "ctr0", "a", "172.17.0.2/16", "fd00:17::2/64")
		c := l.container(t, "br-second", "c", "172.18.0.2/16", "fd00:18::2/64")
		x := l.container(t, "br-noicc", "x", "172.20.0.2/16")
		y := l.container(t, "br-noicc", "y", "172.20.0.3/16")
		d := l.container(t, "br-internal", "d", "172.19.0.2/16", "fd00:19::2/64")
		e := l.container(t, "br-internal", "e", "172.19.0.3/16", "fd00:19::3/64")
		web := netip.MustParseAddr("172.17.0.2")
		l.publish(t, port("tcp", "", 8080, web, 80), port("udp", "", 5555, web, 80), port("tcp", "", 8081, netip.MustParseAddr("172.20.0.3"), 80))

		containers := map[string]node{"172.17.0.2": a, "172.18.0.2": c, "172.20.0.2": x, "172.19.0.2": d}
		gateways := map[string]string{"172.17.0.2": "172.17.0.1", "172.18.0.2": "172.18.0.1", "172.20.0.2": "172.20.0.1", "172.19.0.2": "172.19.0.1"}
		var questions []question
		for from, n := range containers {
			for to := range containers {
				if from == to {
					continue
				}
				for _, network := range []string{"tcp", "udp"} {
					questions = append(questions, question{n, network, to + ":80", ""}, question{n, network, gateways[to] + ":9999", ""})
				}
				questions = append(questions, question{n, "ping", to, ""}, question{n, "ping", gateways[to], ""})
			}
		}
		askAll(t, append(questions, []question{
			{a, "tcp", "[fd00:18::2]:80", ""},
			{a, "tcp", "[fd00:18::1]:9999", ""},
			{d, "tcp", "[fd00:17::2]:80", ""},
			// Within an internal network, and from the host.
			{d, "tcp", "172.19.0.3:80", "e 172.19.0.2"},
			{d, "tcp", "[fd00:19::3]:80", "e fd00:19::2"},
			{e, "udp", "172.19.0.2:80", "d 172.19.0.3"},
			{l.host, "tcp", "172.19.0.2:80", "d 172.19.0.1"},
			{l.host, "tcp", "[fd00:19::2]:80", "d fd00:19::1"},
			// Out of it: no wire, no host by any address, no published port.
			{d, "tcp", "10.1.0.2:80", ""},
			{d, "udp", "10.1.0.2:80", ""},
			{d, "ping", "10.1.0.2", ""},
			{d, "tcp", "[2001:db8:1::2]:80", ""},
			{d, "tcp", "172.19.0.1:9999", ""},
			{d, "udp", "172.19.0.1:9999", ""},
			{d, "tcp", "[fd00:19::1]:9999", ""},
			{d, "tcp", "10.1.0.1:9999", ""},
			{d, "tcp", "169.254.169.254:9999", ""},
			{d, "tcp", "10.1.0.1:8080", ""},
			{d, "tcp", "172.19.0.1:8080", ""},
			{l.lanA, "tcp", "172.19.0.2:80", ""},
			// The others reach the host and the wires.
			{a, "tcp", "172.17.0.1:9999", "host 172.17.0.2"},
			{a, "tcp", "10.1.0.1:9999", "host 172.17.0.2"},
			{c, "udp", "10.1.0.2:80", "lan-a 10.1.0.1"},
			{a, "ping", "10.1.0.2", "pong"},
			// Containers that may not talk to each other, except by what is published.
			{x, "tcp", "172.20.0.3:80", ""},
			{y, "udp", "172.20.0.2:80", ""},
			{x, "ping", "172.20.0.3", ""},
			{x, "tcp", "10.1.0.2:80", "lan-a 10.1.0.1"},
			{x, "tcp", "10.1.0.1:8081", "y 172.20.0.1"},
			{x, "tcp", "10.1.0.1:8080", "a 172.17.0.1"},
			// Not even one way, as far as an answer is not needed.
			{d, "udp", "10.1.0.1:5555", ""},
			{d, "udp", "[2001:db8:1::2]:80", ""},
			{x, "udp", "10.1.0.1:5555", "a 172.17.0.1"},
		}...))
		for _, client := range []string{"172.19.0.2", "fd00:19::2"} {
			for _, server := range []string{"a", "host", "lan-a"} {
				if _, ok := heard.Load(server + " " + client); ok {
					t.Errorf("%s heard %s out of an internal network", server, client)
				}
			}
		}
	})
}

// Source addresses are kept where that was asked for, and nothing is open for it.
func TestWithoutMasquerading(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		l := newLab(t, h)
		plain := labBridge
		plain.NoMasquerade = true
		l.network(t, plain)
		l.network(t, labSecond)
		a := l.container(t, "ctr0", "a", "172.17.0.2/16", "fd00:17::2/64")
		c := l.container(t, "br-second", "c", "172.18.0.2/16", "fd00:18::2/64")
		l.publish(t, port("tcp", "", 8080, netip.MustParseAddr("172.18.0.2"), 80))
		askAll(t, []question{
			{a, "tcp", "10.1.0.2:80", "lan-a 172.17.0.2"},
			{a, "udp", "10.1.0.2:80", "lan-a 172.17.0.2"},
			{a, "tcp", "[2001:db8:1::2]:80", "lan-a fd00:17::2"},
			{a, "tcp", "10.1.0.1:8080", "c 172.17.0.2"},
			{l.lanA, "tcp", "172.17.0.2:80", ""},
			{l.lanA, "udp", "172.17.0.2:80", ""},
			{c, "tcp", "172.17.0.2:80", ""},
			{c, "tcp", "172.17.0.1:9999", ""},
			{l.lanA, "tcp", "172.17.0.1:9999", ""},
		})
	})
}

// Networks whose containers outside knows by their own addresses.
func TestGatewayModes(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		l := newLab(t, h)
		l.network(t, with(labBridge, func(n *firewall.Network) { n.Routed = n.Prefixes }))
		l.network(t, with(labSecond, func(n *firewall.Network) { n.Unprotected = n.Prefixes[:1] }))
		l.network(t, labInternal)
		a := l.container(t, "ctr0", "a", "172.17.0.2/16", "fd00:17::2/64")
		b := l.container(t, "br-second", "b", "172.18.0.2/16", "fd00:18::2/64")
		i := l.container(t, "br-internal", "i", "172.19.0.2/16", "fd00:19::2/64")
		a.serve(t, 81)
		l.publish(t, direct("tcp", netip.MustParseAddr("172.17.0.2"), 80), direct("udp", netip.MustParseAddr("fd00:17::2"), 80))
		askAll(t, []question{
			{l.lanA, "tcp", "172.17.0.2:80", "a 10.1.0.2"},
			{l.lanA, "udp", "[fd00:17::2]:80", "a 2001:db8:1::2"},
			{l.lanA, "udp", "172.17.0.2:80", ""},
			{l.lanA, "tcp", "[fd00:17::2]:80", ""},
			{l.lanA, "tcp", "172.17.0.2:81", ""},
			{l.lanA, "tcp", "172.17.0.1:80", ""},
			{b, "tcp", "172.17.0.2:80", "a 172.17.0.1"}, // b is behind the host's addresses
			{b, "tcp", "172.17.0.2:81", ""},
			{i, "tcp", "172.17.0.2:80", ""},
			{l.host, "tcp", "172.17.0.2:81", "a 172.17.0.1"},
			{l.lanA, "ping", "172.17.0.2", "pong"},
			{b, "ping", "172.17.0.2", "pong"},
			{l.lanA, "ping", "172.17.0.1", ""},

			{l.lanA, "tcp", "172.18.0.2:80", "b 10.1.0.2"},
			{l.lanA, "udp", "172.18.0.2:80", "b 10.1.0.2"},
			{l.lanA, "ping", "172.18.0.2", "pong"},
			{a, "ping", "172.18.0.2", ""},
			{l.lanA, "tcp", "[fd00:18::2]:80", ""},
			{l.lanA, "tcp", "172.18.0.1:80", ""},
			{a, "tcp", "172.18.0.2:80", ""},
			{i, "tcp", "172.18.0.2:80", ""},
		})
	})
}

// By a trusted link the published ports of containers are reached at their own addresses, whether these are hidden outside or not,
// and nothing else is.
func TestTrustedLinks(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		l := newLab(t, h)
		trust := func(n *firewall.Network) { n.Trusted = []string{"absent", "lan-a"} }
		l.network(t, with(labBridge, trust))
		l.network(t, with(labSecond, func(n *firewall.Network) { trust(n); n.NoMasquerade = true }))
		a := l.container(t, "ctr0", "a", "172.17.0.2/16", "fd00:17::2/64")
		b := l.container(t, "br-second", "b", "172.18.0.2/16", "fd00:18::2/64")
		a.serve(t, 81)
		l.publish(t, port("tcp", "127.0.0.1", 8080, netip.MustParseAddr("172.17.0.2"), 80), direct("tcp", netip.MustParseAddr("172.17.0.2"), 80),
			direct("udp", netip.MustParseAddr("fd00:17::2"), 80), direct("tcp", netip.MustParseAddr("172.18.0.2"), 80))
		askAll(t, []question{
			{l.lanA, "tcp", "172.17.0.2:80", "a 10.1.0.2"},
			{l.lanA, "udp", "[fd00:17::2]:80", "a 2001:db8:1::2"},
			{l.lanA, "tcp", "172.18.0.2:80", "b 10.1.0.2"},
			{l.lanA, "tcp", "10.1.0.1:8080", ""},
			{l.lanA, "udp", "172.17.0.2:80", ""},
			{l.lanA, "tcp", "[fd00:17::2]:80", ""},
			{l.lanA, "tcp", "172.17.0.2:81", ""},
			{l.lanA, "ping", "172.17.0.2", ""},
			{l.lanA, "tcp", "172.17.0.1:9999", ""},
			{l.lanB, "tcp", "172.17.0.2:80", ""},
			{l.lanB, "udp", "[fd00:17::2]:80", ""},
			{l.lanB, "tcp", "172.18.0.2:80", ""},
			{b, "tcp", "172.17.0.2:80", ""},
			{a, "tcp", "172.18.0.2:80", ""},
			{a, "tcp", "10.1.0.2:80", "lan-a 10.1.0.1"},
			{l.host, "tcp", "172.17.0.2:80", "a 172.17.0.1"},
		})
	})
}

// Docker's policy does not keep our containers in, nor let others into them.
func TestBesideDocker(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		dockerRules(t)
		l := newLab(t, h)
		l.network(t, labBridge)
		a := l.container(t, "ctr0", "a", "172.17.0.2/16", "fd00:17::2/64")
		l.publish(t, port("tcp", "", 8080, netip.MustParseAddr("172.17.0.2"), 80), port("tcp", "", 8080, netip.MustParseAddr("fd00:17::2"), 80))
		askAll(t, []question{
			{a, "tcp", "10.1.0.2:80", "lan-a 10.1.0.1"},
			{a, "tcp", "[2001:db8:1::2]:80", "lan-a 2001:db8:1::1"},
			{l.lanA, "tcp", "10.1.0.1:8080", "a 10.1.0.2"},
			{l.lanA, "tcp", "[2001:db8:1::1]:8080", "a 2001:db8:1::2"},
			{l.lanA, "tcp", "172.17.0.2:80", ""},
			{l.lanB, "tcp", "10.1.0.2:80", ""}, // Docker's policy holds for others
		})
	})
}

// Who came in while there were no rules is out when they are back; what was published, and what containers asked for, goes on.
func TestIntruders(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		l := newLab(t, h)
		networks := []firewall.Network{labBridge}
		// Somebody else's rule has the kernel track connections all the time.
		run(t, "nft", "add table inet other; add chain inet other forward { type filter hook forward priority 0; }; "+
			"add rule inet other forward ct state established accept")
		l.network(t, labBridge)
		a := l.container(t, "ctr0", "a", "172.17.0.2/16", "fd00:17::2/64")
		published := []firewall.Port{port("udp", "", 5555, netip.MustParseAddr("172.17.0.2"), 80)}
		must(t, l.AddPorts(published))
		dial := func(n node, address string) net.Conn {
			t.Helper()
			var conn net.Conn
			must(t, n.do(func() (err error) {
				conn, err = net.Dial("udp", address)
				return err
			}))
			t.Cleanup(func() { conn.Close() })
			if !answered(conn) {
				t.Fatalf("%s gets no answer of %s", n.name, address)
			}
			return conn
		}
		client, asker := dial(l.lanA, "10.1.0.1:5555"), dial(a, "10.1.0.2:80")
		run(t, "nft", "delete", "table", "inet", "ctr")
		intruders := []net.Conn{dial(l.lanA, "172.17.0.2:80"), dial(l.lanA, "[fd00:17::2]:80")}
		must(t, l.Repair(func() ([]firewall.Network, []firewall.Port, error) { return networks, published, nil }))
		for _, conn := range intruders {
			if answered(conn) {
				t.Errorf("%v is still in", conn.RemoteAddr())
			}
		}
		if !answered(client) || !answered(asker) {
			t.Error("connections that were allowed have ended")
		}
	})
}

// A UDP client that never pauses, from one source port, reaches whichever container has the port now.
func TestReplacedUDPServer(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		l := newLab(t, h)
		l.network(t, labBridge)
		l.container(t, "ctr0", "a", "172.17.0.2/16", "fd00:17::2/64")
		l.container(t, "ctr0", "b", "172.17.0.3/16", "fd00:17::3/64")
		for _, host := range []string{"10.1.0.1:5555", "[2001:db8:1::1]:5555"} {
			t.Run(host, func(t *testing.T) { l.replace(t, host) })
		}
	})
}

func (l *lab) replace(t *testing.T, host string) {
	targets := map[string]string{"a": "172.17.0.2", "b": "172.17.0.3"}
	if netip.MustParseAddrPort(host).Addr().Is6() {
		targets = map[string]string{"a": "fd00:17::2", "b": "fd00:17::3"}
	}
	var conn net.Conn
	must(t, l.lanA.do(func() (err error) {
		conn, err = net.Dial("udp", host)
		return err
	}))
	defer conn.Close()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				_, _ = conn.Write([]byte("?"))
			}
		}
	}()
	// hears waits for an answer; refusals on the way are the point.
	hears := func(from string) (time.Duration, error) {
		start := time.Now()
		b := make([]byte, 64)
		for time.Since(start) < 3*trust {
			_ = conn.SetReadDeadline(time.Now().Add(time.Second))
			n, err := conn.Read(b)
			if err == nil && n > 1 && string(b[:2]) == from+" " {
				return time.Since(start), nil
			}
		}
		return 0, fmt.Errorf("no answer of %s", from)
	}
	var worst time.Duration
	for i := range 20 {
		name := []string{"a", "b"}[i%2]
		p := port("udp", "", 5555, netip.MustParseAddr(targets[name]), 80)
		p.Owner = fmt.Sprint("container ", i)
		must(t, l.AddPorts([]firewall.Port{p}))
		outage, err := hears(name)
		must(t, err)
		worst = max(worst, outage)
		if i%3 != 0 { // else it was killed, and nobody took its rules away
			must(t, l.RemovePorts([]firewall.Port{p}))
		}
	}
	t.Logf("longest outage: %v", worst)
	if worst > trust {
		t.Errorf("outage of %v", worst)
	}
}
