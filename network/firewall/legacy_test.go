package firewall_test

import (
	"strings"
	"testing"

	"ctr/internal/testhost"
	"ctr/network/firewall"
)

// TestLegacy reads rules that nftables does not see.
func TestLegacy(t *testing.T) {
	t.Parallel()
	const tells = `chain "FORWARD" of iptables-legacy drops what comes from or goes to ctr0; ` +
		"to let it pass: iptables-legacy -I FORWARD -i ctr0 -j ACCEPT && iptables-legacy -I FORWARD -o ctr0 -j ACCEPT"
	cases := []struct {
		name, rules string // one a line
		shut        bool
	}{
		{"listed only", "-S", false},
		{"policy", "-P FORWARD DROP", true},
		{"policy of others", "-P INPUT DROP\n-P OUTPUT DROP", false},
		{"reject at the end", "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A FORWARD -j LOG\n-A FORWARD -j REJECT", true},
		{"of some packets", "-A FORWARD -p tcp -j DROP\n-A FORWARD -s 10.0.0.0/8 -j DROP\n-A FORWARD -m mark --mark 7 -j DROP\n-A FORWARD -i eth+ -o ctr0 -j DROP", false},
		{"of another link", "-A FORWARD -i eth0 -j DROP\n-A FORWARD -o ctr -j DROP", false},
		{"of this link", "-A FORWARD -o ctr+ -j DROP", true},
		{"of all links but one", "-A FORWARD ! -i eth0 -j DROP", true},
		{"of all links but this one", "-A FORWARD ! -i ctr0 -j DROP", true},
		{"of what comes from other links", "-A FORWARD ! -i ctr0 -o ctr0 -j DROP", true},
		{"of what stays within another link", "-A FORWARD ! -i eth0 -o eth0 -j DROP", false},
		{"let pass", "-P FORWARD DROP\n-I FORWARD -i ctr0 -j ACCEPT\n-I FORWARD -o ctr0 -m comment --comment mine -j ACCEPT", false},
		{"let pass in one direction", "-P FORWARD DROP\n-I FORWARD -i ctr0 -j ACCEPT", true},
		{"let pass if", "-P FORWARD DROP\n-I FORWARD -i ctr0 -p udp -j ACCEPT\n-I FORWARD -o ctr0 -p udp -j ACCEPT", true},
		{"let pass too late", "-A FORWARD -j DROP\n-A FORWARD -i ctr0 -j ACCEPT\n-A FORWARD -o ctr0 -j ACCEPT", true},
		{"in chains", "-N one\n-N two\n-A FORWARD -j one\n-A one -j two\n-A two -i eth0 -j RETURN\n-A two -j RETURN\n-A one -j DROP", true},
		{"in chains that return", "-N one\n-P FORWARD DROP\n-A FORWARD -j one\n-A FORWARD -j ACCEPT\n-A one -j RETURN\n-A one -j DROP", false},
		{"gone to", "-N one\n-P FORWARD DROP\n-A FORWARD -g one\n-A FORWARD -j ACCEPT\n-A one -p tcp -j ACCEPT", true},
		{"nothing but counters", "-A FORWARD\n-A FORWARD -i ctr0", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
				f := firewall.Open(nil, "")
				addNetwork(t, f, bridge4)
				addNetwork(t, f, bridge46)
				for line := range strings.SplitSeq(c.rules, "\n") {
					run(t, "iptables-legacy", strings.Fields(line)...)
					run(t, "ip6tables-legacy", strings.Fields(strings.ReplaceAll(line, "10.0.0.0/8", "fd00::/8"))...)
				}
				want := ""
				if c.shut {
					want = tells
				}
				if got := texts(t, f, bridge4); got != want {
					t.Errorf("of IPv4:\n%s\nwant:\n%s", got, want)
				}
				if c.shut {
					want = strings.ReplaceAll(want, "ctr0", "br-0123456789ab")
					want += "\n" + strings.ReplaceAll(want, "iptables", "ip6tables")
				}
				if strings.Contains(c.rules, "ctr") {
					return // which are about the other one
				}
				if got := texts(t, f, bridge46); got != want {
					t.Errorf("of both families:\n%s\nwant:\n%s", got, want)
				}
			})
		})
	}
}

// texts returns what Barriers finds for a network.
func texts(t *testing.T, f *firewall.Firewall, n firewall.Network) string {
	t.Helper()
	findings, err := f.Barriers([]firewall.Network{n})
	must(t, err)
	var all []string
	for _, one := range findings {
		if one.Cure {
			t.Errorf("can be cured: %s", one.Text)
		}
		all = append(all, one.Text)
	}
	return strings.Join(all, "\n")
}

// TestLegacyInput says what does not see published ports.
func TestLegacyInput(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		f := firewall.Open(nil, "")
		run(t, "iptables-legacy", "-A", "INPUT", "-i", "lo", "-j", "ACCEPT")
		run(t, "ip6tables-legacy", "-P", "INPUT", "DROP")
		got, err := f.Inputs()
		must(t, err)
		want := firewall.Finding{Text: `chain "INPUT" of ip6tables-legacy`, Stops: firewall.Families{IPv6: true}}
		if len(got) != 1 || got[0] != want {
			t.Errorf("inputs: %v, want %v", got, want)
		}
	})
}
