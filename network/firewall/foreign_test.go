package firewall_test

import (
	"strings"
	"testing"

	"ctr/internal/testhost"
	"ctr/network/firewall"
)

// dockerRules imitates Docker's chains.
func dockerRules(t *testing.T) {
	for _, iptables := range []string{"iptables", "ip6tables"} {
		for _, rule := range []string{
			"-N DOCKER", "-N DOCKER-FORWARD", "-N DOCKER-USER", "-P FORWARD DROP",
			"-A FORWARD -j DOCKER-USER", "-A FORWARD -j DOCKER-FORWARD", "-A DOCKER-USER -j RETURN",
			"-A DOCKER-FORWARD -o docker0 -j DOCKER", "-A DOCKER-FORWARD -i docker0 -j ACCEPT",
			"-A DOCKER ! -i docker0 -o docker0 -j DROP",
		} {
			run(t, iptables, strings.Fields(rule)...)
		}
	}
}

func TestDockerLetsContainersPass(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		dockerRules(t)
		before := run(t, "iptables", "-S") + run(t, "ip6tables", "-S")
		f := firewall.Open(nil, "")
		for range 2 {
			addNetwork(t, f, bridge4)
			addNetwork(t, f, bridge46)
		}
		got := run(t, "iptables", "-S", "DOCKER-USER")
		for _, want := range []string{
			"-A DOCKER-USER -i ctr0 -m comment --comment ctr -j ACCEPT\n",
			"-A DOCKER-USER -o ctr0 -m comment --comment ctr -j ACCEPT\n",
			"-A DOCKER-USER -i br-0123456789ab -m comment --comment ctr -j ACCEPT\n",
			"-A DOCKER-USER -o br-0123456789ab -m comment --comment ctr -j ACCEPT\n",
		} {
			if strings.Count(got, want) != 1 {
				t.Errorf("iptables lists %q %d times:\n%s", want, strings.Count(got, want), got)
			}
		}
		if got := run(t, "ip6tables", "-S", "DOCKER-USER"); strings.Contains(got, "ctr0") || !strings.Contains(got, "-o br-0123456789ab") {
			t.Errorf("marks of an IPv4 network in an IPv6 chain, or none of the other:\n%s", got)
		}
		if findings, err := f.Check([]firewall.Network{bridge4, bridge46}, nil); err != nil || len(findings) > 0 {
			t.Errorf("check: %v, %v", findings, err)
		}
		// What iptables saves and restores is still ours.
		run(t, "sh", "-c", "iptables-save | iptables-restore; ip6tables-save | ip6tables-restore")
		addNetwork(t, f, bridge4)
		if again := run(t, "iptables", "-S", "DOCKER-USER"); again != got {
			t.Errorf("after a save and restore:\n%s", again)
		}
		must(t, f.RemoveNetwork("ctr0"))
		if got := run(t, "iptables", "-S"); strings.Contains(got, "ctr0") || !strings.Contains(got, "br-0123456789ab") {
			t.Errorf("one of two networks removed:\n%s", got)
		}
		must(t, f.Reset())
		if after := run(t, "iptables", "-S") + run(t, "ip6tables", "-S"); after != before {
			t.Errorf("left in chains of others:\n%s", after)
		}
	})
}

func TestOtherManagers(t *testing.T) {
	t.Parallel()
	managers := []struct {
		name, rules string
		open        bool // can be opened
	}{
		{"policy", "table inet filter { chain forward { type filter hook forward priority 0; policy drop; }; }", true},
		{"reject at the end", `table inet firewalld { chain filter_FORWARD { type filter hook forward priority 10; policy accept;
			ct state established accept; reject with icmpx type admin-prohibited; }; }`, true},
		{"accepts", "table inet filter { chain forward { type filter hook forward priority 0; policy accept; ct state invalid drop; }; }", false},
	}
	for _, m := range managers {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
				run(t, "nft", m.rules)
				before := run(t, "nft", "list", "ruleset")
				f := firewall.Open(nil, "0a1b2c3d")
				addNetwork(t, f, bridge4)
				rules := run(t, "nft", "list", "table", "inet", strings.Fields(m.rules)[2])
				want := 0
				if m.open {
					want = 1
				}
				for _, direction := range []string{"iifname", "oifname"} {
					if n := strings.Count(rules, direction+` "ctr0" counter packets 0 bytes 0 accept comment "ctr-0a1b2c3d"`); n != want {
						t.Errorf("%d marks for %s, want %d:\n%s", n, direction, want, rules)
					}
				}
				must(t, f.Reset())
				if after := run(t, "nft", "list", "ruleset"); after != before {
					t.Errorf("left after reset:\n%s", after)
				}
			})
		})
	}
}
