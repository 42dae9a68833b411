package firewall_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"ctr/internal/testhost"
	"ctr/network/firewall"
)

// Whatever somebody does to the rules is found, said in words, and cured.
func TestCheckAndRepair(t *testing.T) {
	t.Parallel()
	damage := []struct{ command, finding string }{
		{"flush ruleset", "table inet ctr is missing"},
		{"flush chain inet ctr input; delete chain inet ctr input", "chain input of table inet ctr is not as it was made"},
		{"flush chain inet ctr guard; delete set inet ctr one-address6", "set one-address6 is missing from table inet ctr"},
		{"flush chain inet ctr guard", "chain guard of table inet ctr is not as it was made"},
		{"flush chain inet ctr to-published", "chain to-published of table inet ctr is not as it was made"},
		{"insert rule inet ctr to-network accept", "chain to-network of table inet ctr is not as it was made"},
		{"delete element inet ctr networks { ctr0 }", "set networks lacks ctr0"},
		{"flush set inet ctr guarded4", "set guarded4 lacks ctr0"},
		{"flush set inet ctr own4", "set own4 lacks ctr0"},
		{"delete element inet ctr published4 { tcp . 8080 }", "set published4 lacks port 8080/tcp of 3f2a9c1d5e77"},
		{"add element inet ctr published4 { udp . 9 : 172.17.0.9 . 9 }", "set published4 has port 9/udp, which belongs to no network or port"},
		{"add element inet ctr bridges { eth0 }", "set bridges has eth0, which belongs to no network or port"},
		{"add element inet ctr guarded4 { 10.0.0.0/8 }", "set guarded4 has what begins at 10.0.0.0, which belongs to no network or port"},
		{
			"add table inet f; add chain inet f fw { type filter hook forward priority 0; policy drop; }",
			`chain "fw" of table inet "f" drops what comes from or goes to ctr0`,
		},
	}
	networks := []firewall.Network{bridge4, bridge46}
	published := []firewall.Port{port("tcp", "", 8080, web4, 80), port("udp", "10.1.2.3", 53, web4, 53)}
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		f := firewall.Open(nil, "")
		if findings, err := f.Check(nil, nil); err != nil || len(findings) > 0 {
			t.Errorf("a host without networks: %v, %v", findings, err)
		}
		must(t, f.Repair(func() ([]firewall.Network, []firewall.Port, error) { return networks, published, nil }))
		for _, d := range damage {
			before := run(t, "nft", "list", "table", "inet", "ctr")
			run(t, "nft", d.command)
			findings, err := f.Check(networks, published)
			must(t, err)
			if !slices.ContainsFunc(findings, func(f firewall.Finding) bool { return f.Cure && strings.HasPrefix(f.Text, d.finding) }) {
				t.Errorf("nft %s: found %v, want %q", d.command, findings, d.finding)
			}
			must(t, f.Repair(func() ([]firewall.Network, []firewall.Port, error) { return networks, published, nil }))
			if findings, err := f.Check(networks, published); err != nil || len(findings) > 0 {
				t.Errorf("nft %s: repaired, and still %v, %v", d.command, findings, err)
			}
			if after := run(t, "nft", "list", "table", "inet", "ctr"); lines(after) != lines(before) {
				t.Errorf("nft %s: repaired, and it is\n%s", d.command, after)
			}
		}
	})
}

// lines sorts the lines and elements of a listing: hash sets have no order.
func lines(listing string) string {
	sorted := strings.FieldsFunc(listing, func(r rune) bool { return strings.ContainsRune("\n\t,", r) })
	for i, s := range sorted {
		sorted[i] = strings.TrimPrefix(strings.Trim(s, " }"), "elements = { ")
	}
	slices.Sort(sorted)
	return strings.Join(slices.DeleteFunc(sorted, func(s string) bool { return strings.TrimSpace(s) == "" }), "\n")
}

// AddNetwork alone brings back what was flushed, for its network, and keeps what others have.
func TestAddNetworkIsIdempotent(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		f := firewall.Open(nil, "")
		addNetwork(t, f, bridge4)
		must(t, f.AddPorts([]firewall.Port{port("tcp", "", 8080, web4, 80)}))
		first := run(t, "nft", "-a", "list", "ruleset")
		addNetwork(t, f, bridge4)
		if again := run(t, "nft", "-a", "list", "ruleset"); again != first { // with handles: nothing was made anew
			t.Errorf("added again:\n%s", again)
		}
		addNetwork(t, f, bridge46)
		changed := with(bridge4, func(n *firewall.Network) { n.Prefixes = prefixes("172.17.0.0/20"); n.NoICC = true })
		addNetwork(t, f, changed)
		if findings, err := f.Check([]firewall.Network{changed, bridge46}, []firewall.Port{port("tcp", "", 8080, web4, 80)}); err != nil || len(findings) > 0 {
			t.Errorf("a network that changed: %v, %v", findings, err)
		}
		run(t, "nft", "flush", "ruleset")
		addNetwork(t, f, changed)
		if findings, err := f.Check([]firewall.Network{changed}, nil); err != nil || len(findings) > 0 {
			t.Errorf("after a flush: %v, %v", findings, err)
		}
	})
}

// A late teardown takes nothing from the next owner of a port, not even with the same address.
func TestPortsHaveOwners(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		f := firewall.Open(nil, "")
		must(t, f.RemovePorts([]firewall.Port{port("tcp", "", 8080, web4, 80)})) // no table at all
		must(t, f.RemoveNetwork("ctr0"))
		if err := f.AddPorts([]firewall.Port{port("tcp", "", 8080, web4, 80)}); err == nil {
			t.Error("ports without a network")
		}
		addNetwork(t, f, bridge4)
		for _, host := range []string{"", "10.1.2.3", "127.0.0.1"} {
			old, successor := port("tcp", host, 8080, web4, 80), port("tcp", host, 8080, web4, 80)
			successor.Owner = "the next one"
			must(t, f.AddPorts([]firewall.Port{old}))
			must(t, f.AddPorts([]firewall.Port{successor}))
			must(t, f.RemovePorts([]firewall.Port{old}))
			if findings, err := f.Check([]firewall.Network{bridge4}, []firewall.Port{successor}); err != nil || len(findings) > 0 {
				t.Errorf("a late teardown on %q: %v, %v", host, findings, err)
			}
			must(t, f.RemovePorts([]firewall.Port{successor}))
			must(t, f.RemovePorts([]firewall.Port{successor}))
		}
	})
}

// A published address that moves to the loopback device leaves nothing behind.
func TestPublishedAddressMoves(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		f := firewall.Open(nil, "")
		addNetwork(t, f, bridge4)
		published := []firewall.Port{port("tcp", "10.1.2.3", 8080, web4, 80)}
		for _, move := range []string{"add", "del"} {
			must(t, f.AddPorts(published))
			run(t, "ip", "address", move, "10.1.2.3/32", "dev", "lo")
			must(t, f.RemovePorts(published))
			if findings, err := f.Check([]firewall.Network{bridge4}, nil); err != nil || len(findings) > 0 {
				t.Errorf("removed after ip address %s: %v, %v", move, findings, err)
			}
		}
	})
}

// An older program made a table without some of the sets: what is in it can be removed all the same, and is made whole.
func TestTableOfBefore(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		f := firewall.Open(nil, "")
		old := func() {
			t.Helper()
			addNetwork(t, f, bridge4)
			must(t, f.AddPorts([]firewall.Port{port("tcp", "", 8080, web4, 80)}))
			run(t, "nft", "flush chain inet ctr to-network; flush chain inet ctr guard; delete set inet ctr direct4; delete set inet ctr routed4; delete set inet ctr unprotected6; delete set inet ctr trusted6")
		}
		old()
		must(t, f.RemoveOwner("3f2a9c1d5e77"))
		if got := run(t, "nft", "list", "map", "inet", "ctr", "published4"); strings.Contains(got, "8080") {
			t.Errorf("the port is still there:\n%s", got)
		}
		must(t, f.RemoveNetwork("ctr0"))
		if got := run(t, "nft", "list", "table", "inet", "ctr"); strings.Contains(got, "ctr0") {
			t.Errorf("the network is still there:\n%s", got)
		}
		old()
		run(t, "nft", "delete element inet ctr networks { ctr0 }") // as if it were of another version
		if fresh, err := f.AddNetwork(bridge4); err != nil || !fresh {
			t.Errorf("made whole: %v, %v; want to be told that others miss something", fresh, err)
		}
		if findings, err := f.Check([]firewall.Network{bridge4}, []firewall.Port{port("tcp", "", 8080, web4, 80)}); err != nil || len(findings) > 0 {
			t.Errorf("made whole: %v, %v", findings, err)
		}
	})
}

// Two installations do not see each other.
func TestTwoInstallations(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		dockerRules(t)
		one, other := firewall.Open(nil, ""), firewall.Open(nil, "0a1b2c3d")
		addNetwork(t, one, bridge4)
		addNetwork(t, other, bridge46)
		must(t, other.Reset())
		if findings, err := one.Check([]firewall.Network{bridge4}, nil); err != nil || len(findings) > 0 {
			t.Errorf("after the reset of another installation: %v, %v", findings, err)
		}
		if rules := run(t, "nft", "list", "ruleset"); strings.Contains(rules, "0a1b2c3d") {
			t.Errorf("left after reset:\n%s", rules)
		}
	})
}

// A network of another namespace than the process's.
func TestOtherNamespace(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		l := newLab(t, h)
		f := firewall.Open(l.lanA.ns, "")
		addNetwork(t, f, bridge4)
		must(t, f.AddPorts([]firewall.Port{port("udp", "10.1.0.2", 53, web4, 53)}))
		if rules := run(t, "nft", "list", "ruleset"); rules != "" {
			t.Errorf("rules here:\n%s", rules)
		}
		if rules := run(t, "nsenter", fmt.Sprintf("--net=/proc/%d/fd/%d", os.Getpid(), l.lanA.ns.Fd()), "nft", "list", "ruleset"); !strings.Contains(rules, "10.1.0.2 . udp . 53") {
			t.Errorf("rules there:\n%s", rules)
		}
	})
}
