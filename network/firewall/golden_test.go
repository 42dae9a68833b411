package firewall_test

import (
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ctr/internal/testhost"
	"ctr/network/firewall"
	"ctr/network/netns"
)

var update = flag.Bool("update", false, "write the golden files anew")

func prefixes(list ...string) (p []netip.Prefix) {
	for _, s := range list {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

func addrs(list ...string) (a []netip.Addr) {
	for _, s := range list {
		a = append(a, netip.MustParseAddr(s))
	}
	return a
}

var (
	bridge4  = firewall.Network{Bridge: "ctr0", Prefixes: prefixes("172.17.0.0/16"), Gateways: addrs("172.17.0.1")}
	bridge46 = firewall.Network{
		Bridge: "br-0123456789ab", Prefixes: prefixes("1.2.3.0/24", "2001:db8::/64"), Gateways: addrs("1.2.3.4", "2001:db8::1"),
	}
	web4 = addrs("172.17.0.2")[0]
	web6 = addrs("2001:db8::2")[0]
)

func with(n firewall.Network, change func(*firewall.Network)) firewall.Network {
	change(&n)
	return n
}

func port(protocol firewall.Protocol, host string, hostPort uint16, target netip.Addr, targetPort uint16) firewall.Port {
	p := firewall.Port{
		Protocol: protocol, HostPort: hostPort, Bridge: "ctr0", ContainerIP: target, ContainerPort: targetPort,
		Owner: "3f2a9c1d5e77",
	}
	if host != "" {
		p.HostIP = netip.MustParseAddr(host)
	}
	return p
}

func direct(protocol firewall.Protocol, target netip.Addr, targetPort uint16) firewall.Port {
	p := port(protocol, "", 0, target, targetPort)
	p.Direct = true
	return p
}

// The table for each kind of network and of port, as nft lists it.
func TestGoldenTables(t *testing.T) {
	t.Parallel()
	modes := []struct {
		name     string
		networks []firewall.Network
		ports    []firewall.Port
	}{
		{name: "bridge", networks: []firewall.Network{bridge4}},
		{name: "dual-stack", networks: []firewall.Network{bridge46}},
		{name: "ipv6-only", networks: []firewall.Network{{
			Bridge: "ctr6", Prefixes: prefixes("fd00:1::/64"), Gateways: addrs("fd00:1::1"),
		}}},
		{name: "internal", networks: []firewall.Network{with(bridge46, func(n *firewall.Network) { n.Internal = true })}},
		{name: "no-icc", networks: []firewall.Network{with(bridge4, func(n *firewall.Network) { n.NoICC = true })}},
		{name: "internal-no-icc", networks: []firewall.Network{with(bridge4, func(n *firewall.Network) { n.Internal, n.NoICC = true, true })}},
		{name: "no-masquerade", networks: []firewall.Network{with(bridge46, func(n *firewall.Network) { n.NoMasquerade = true })}},
		{
			name: "routed", networks: []firewall.Network{with(bridge46, func(n *firewall.Network) { n.Routed = n.Prefixes[1:] })},
			ports: []firewall.Port{direct("tcp", web6, 80), direct("udp", web6, 53), direct("tcp", web6, 80)},
		},
		{name: "unprotected", networks: []firewall.Network{with(bridge46, func(n *firewall.Network) { n.Unprotected = n.Prefixes[:1] })}},
		{
			name:     "trusted",
			networks: []firewall.Network{with(bridge46, func(n *firewall.Network) { n.Trusted = []string{"wg0", "vxlan.1"} })},
			ports:    []firewall.Port{port("tcp", "127.0.0.1", 8080, web4, 80), direct("tcp", web4, 80)},
		},
		{name: "three-networks", networks: []firewall.Network{
			bridge4, bridge46, {Bridge: "br-aaaaaaaaaaaa", Prefixes: prefixes("172.18.0.0/16"), Gateways: addrs("172.18.0.1"), Internal: true},
		}},
		{
			name: "port-any", networks: []firewall.Network{bridge4},
			ports: []firewall.Port{port("tcp", "", 8080, web4, 80), port("udp", "0.0.0.0", 5555, web4, 53)},
		},
		{
			name: "port-one-address", networks: []firewall.Network{bridge4},
			ports: []firewall.Port{port("tcp", "10.1.2.3", 8080, web4, 80), port("tcp", "10.1.2.3", 8443, web4, 443)},
		},
		{
			name: "port-loopback", networks: []firewall.Network{bridge4},
			ports: []firewall.Port{port("tcp", "127.0.0.1", 8080, web4, 80), port("udp", "127.0.0.1", 8080, web4, 80)},
		},
		{
			name: "port-loopback-service", networks: []firewall.Network{bridge4}, // an address of lo, see testhost
			ports: []firewall.Port{port("tcp", testhost.ResolverAddress, 8080, web4, 80)},
		},
		{
			name: "port-ipv6", networks: []firewall.Network{bridge46},
			ports: []firewall.Port{port("tcp", "", 8080, web6, 80), port("tcp", "2001:db8:1::1", 8081, web6, 81), port("tcp", "::1", 8082, web6, 82)},
		},
	}
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
				f := firewall.Open(nil, "")
				for _, n := range m.networks {
					addNetwork(t, f, n)
				}
				must(t, f.AddPorts(m.ports))
				golden(t, m.name, run(t, "nft", "list", "table", "inet", "ctr"))
				if findings, err := f.Check(m.networks, m.ports); err != nil || len(findings) > 0 {
					t.Errorf("check of what was just set: %v, %v", findings, err)
				}
				must(t, f.RemovePorts(m.ports))
				for _, n := range m.networks {
					must(t, f.RemoveNetwork(n.Bridge))
				}
				golden(t, "empty", run(t, "nft", "list", "table", "inet", "ctr"))
				must(t, f.Reset())
				if left := run(t, "nft", "list", "ruleset"); left != "" {
					t.Errorf("left after reset:\n%s", left)
				}
			})
		})
	}
}

func TestGoldenDNS(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		ns, err := netns.Current()
		must(t, err)
		defer ns.Close()
		must(t, firewall.RedirectDNS(ns, 1, 2))
		must(t, firewall.RedirectDNS(ns, 40001, 40002)) // replaces, does not add
		golden(t, "dns", run(t, "nft", "list", "ruleset"))
		leads := func(udp, tcp uint16) bool {
			t.Helper()
			ok, err := firewall.LeadsDNS(ns, udp, tcp)
			must(t, err)
			return ok
		}
		if !leads(40001, 40002) || leads(1, 40002) || leads(40001, 2) {
			t.Errorf("it leads there %v, to other ports %v, %v", leads(40001, 40002), leads(1, 40002), leads(40001, 2))
		}
		for _, table := range []string{"netdev", "ip"} {
			run(t, "nft", "flush", "table", table, "ctr-dns")
			if leads(40001, 40002) {
				t.Errorf("it leads there without the rules of %s", table)
			}
			must(t, firewall.RedirectDNS(ns, 40001, 40002))
			run(t, "nft", "delete", "table", table, "ctr-dns")
			if leads(40001, 40002) {
				t.Errorf("it leads there without the table of %s", table)
			}
			must(t, firewall.RedirectDNS(ns, 40001, 40002))
		}
		golden(t, "dns", run(t, "nft", "list", "ruleset"))
	})
}

// elements is the list of a set's elements as nft prints it, over one line or more.
var elements = regexp.MustCompile(`(?s)elements = \{ (.*?) \}`)

// golden compares a listing with a file of testdata. Hash sets have no order: their elements are sorted.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = elements.ReplaceAllStringFunc(got, func(list string) string {
		var sorted []string
		for e := range strings.SplitSeq(elements.FindStringSubmatch(list)[1], ",") {
			sorted = append(sorted, "\t\t\t"+strings.TrimSpace(e))
		}
		slices.Sort(sorted)
		return "elements = {\n" + strings.Join(sorted, ",\n") + "\n\t\t}"
	})
	path := filepath.Join("testdata", name+".nft")
	if *update {
		must(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if got != string(want) {
		t.Errorf("%s differs from what the kernel has:\n%s", path, got)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// addNetwork adds a network.
func addNetwork(t testing.TB, f *firewall.Firewall, n firewall.Network) {
	t.Helper()
	_, err := f.AddNetwork(n)
	must(t, err)
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}
