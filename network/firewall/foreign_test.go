package firewall_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

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
		{"chain that drops", `table inet filter { chain refuse { log prefix "no"; counter drop; }; chain last { ct state invalid drop; goto refuse; };
			chain forward { type filter hook forward priority 0; policy accept; ct state established accept; jump last; }; }`, true},
		{"drop in the middle", `table inet filter { chain forward { type filter hook forward priority 0; policy accept;
			ct state established accept; reject; tcp dport 80 accept; }; }`, true},
		{"chain that returns", `table inet filter { chain some { tcp dport 22 drop; return; drop; }; chain rest { accept; };
			chain forward { type filter hook forward priority 0; policy accept; jump some; limit rate 9/second log; goto rest; drop; tcp dport 22 drop; }; }`, false},
		{"drop of too many", `table inet filter {
			chain forward { type filter hook forward priority 0; policy accept; limit rate over 1000/second drop; }; }`, false},
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

// TestLastRuleOfIptables opens chains that iptables shuts in the ways that it has beside a policy.
func TestLastRuleOfIptables(t *testing.T) {
	t.Parallel()
	for rule, open := range map[string]bool{
		"-j REJECT":                           true,
		"-j DROP":                             true,
		"-m comment --comment last -j DROP":   true,
		"-m comment --comment last -j REJECT": true,
		"-m mark --mark 7 -j DROP":            false,
		"-p tcp -j REJECT":                    false,
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
				run(t, "iptables", strings.Fields("-A FORWARD "+rule)...)
				addNetwork(t, firewall.Open(nil, ""), bridge4)
				if got := run(t, "iptables", "-S", "FORWARD"); strings.Contains(got, "-i ctr0") != open || strings.Contains(got, "-o ctr0") != open {
					t.Errorf("opened: %v, want %v:\n%s", !open, open, got)
				}
			})
		})
	}
}

// TestOwnedTable: a table that belongs to a running program takes no rule of ours. That is said, and no reason to fail.
func TestOwnedTable(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		owner := exec.Command("nft", "-i")
		in, err := owner.StdinPipe()
		must(t, err)
		must(t, owner.Start())
		defer func() {
			in.Close()
			_ = owner.Wait()
		}()
		_, err = in.Write([]byte("add table inet firewalld { flags owner; }\n" +
			"add chain inet firewalld filter_FORWARD { type filter hook forward priority 10; policy drop; }\n"))
		must(t, err)
		for deadline := time.Now().Add(trust); !strings.Contains(run(t, "nft", "list", "ruleset"), "policy drop"); {
			if time.Now().After(deadline) {
				t.Fatal("nft makes no table")
			}
		}
		f := firewall.Open(nil, "")
		addNetwork(t, f, bridge4)
		findings, err := f.Check([]firewall.Network{bridge4}, nil)
		must(t, err)
		if len(findings) != 1 || findings[0].Cure || !findings[0].Stops.IPv4 ||
			!strings.Contains(findings[0].Text, "and belongs to a running program, which alone may change it; to have firewalld itself let it pass:") {
			t.Errorf("findings: %v", findings)
		}
		must(t, f.RemoveNetwork("ctr0"))
		must(t, f.Reset())
	})
}
