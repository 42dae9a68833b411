package network_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	"ctr/internal/proc"
	"ctr/internal/testhost"
	"ctr/network"
)

// driverCases are the modes of the drivers that hang endpoints on a link of the host. Neighbours: do two of them reach each
// other? A vepa leaves that to the switch outside, of which there is none here.
var driverCases = []struct {
	driver, mode, shown string
	neighbours          bool
	way                 string // out
	flag                string // of an ipvlan
}{
	{"macvlan", "bridge", "macvlan mode bridge", true, "default via 10.2.0.1 dev eth0", ""},
	{"macvlan", "private", "macvlan mode private", false, "default via 10.2.0.1 dev eth0", ""},
	{"macvlan", "vepa", "macvlan mode vepa", false, "default via 10.2.0.1 dev eth0", ""},
	{"ipvlan", "", "ipvlan mode l2", true, "default via 10.2.0.1 dev eth0", ""},
	{"ipvlan", "l2", "ipvlan mode l2", true, "default via 10.2.0.1 dev eth0", ""},
	{"ipvlan", "l3", "ipvlan mode l3", true, "default dev eth0", ""},
	{"ipvlan", "l3s", "ipvlan mode l3s", true, "default dev eth0", ""},
	{"ipvlan", "l2", "ipvlan mode l2 bridge", true, "default via 10.2.0.1 dev eth0", "bridge"},
	{"ipvlan", "l2", "ipvlan mode l2 private", false, "default via 10.2.0.1 dev eth0", "private"},
	{"ipvlan", "l2", "ipvlan mode l2 vepa", false, "default via 10.2.0.1 dev eth0", "vepa"},
}

// lacks tells whether the kernel has no links of this type, by asking it with ip(8).
func lacks(t *testing.T, args ...string) bool {
	t.Helper()
	out, err := exec.Command("ip", append([]string{"link", "add", "name", "probe"}, args...)...).CombinedOutput()
	if err == nil {
		must(t, nil, "ip", "link", "delete", "probe")
		return false
	}
	if !strings.Contains(string(out), "Unknown device type") && !strings.Contains(string(out), "not supported") {
		t.Fatalf("probe %v: %v: %s", args, err, out)
	}
	return true
}

// lan makes a link that a network can hang on, with a silent wire behind it.
func lan(t *testing.T, name string) {
	t.Helper()
	must(t, nil, "ip", "link", "add", name, "type", "veth", "peer", "name", name+"wire")
	must(t, nil, "ip", "link", "set", name, "up")
	must(t, nil, "ip", "link", "set", name+"wire", "up")
}

// driverSpec is a network of a driver below a parent.
func driverSpec(driver, mode, parent string) network.Spec {
	key := network.OptMacvlanMode
	if driver == "ipvlan" {
		key = network.OptIPvlanMode
	}
	s := network.Spec{
		Name: "net", Driver: driver, Subnets: subnets("10.2.0.0/16"), Options: map[string]string{network.OptParent: parent},
	}
	if mode != "" {
		s.Options[key] = mode
	}
	return s
}

// TestDriverModes looks at what each driver makes. A kernel that has no such links is told apart in words.
func TestDriverModes(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		// One for each, as a link is the parent of one kind at a time.
		lan(t, "macvlan")
		lan(t, "ipvlan")
		n := open(t, h.Root, h.RunRoot)
		without := lacks(t, "link", "ipvlan", "type", "ipvlan")
		for _, c := range driverCases {
			t.Run(c.driver+c.mode+c.flag, func(t *testing.T) {
				if c.driver == "ipvlan" && without {
					s := driverSpec(c.driver, c.mode, c.driver)
					s.IPv4 = true
					if _, err := n.Create(context.Background(), s); err == nil || !strings.Contains(err.Error(), "CONFIG_IPVLAN") {
						t.Errorf("without the kernel's support: %v, want an error that names CONFIG_IPVLAN", err)
					}
					return
				}
				spec := driverSpec(c.driver, c.mode, c.driver)
				if c.flag != "" {
					spec.Options[network.OptIPvlanFlag] = c.flag
				}
				create(t, n, spec)
				defer func() {
					if err := n.Remove(context.Background(), "net"); err != nil {
						t.Error(err)
					}
				}()
				a, b := setup(t, n, container(t, h.RunRoot, "a", "net")), setup(t, n, container(t, h.RunRoot, "b", "net"))
				if got := strings.Join(strings.Fields(must(t, a.NetNS, "ip", "-d", "link", "show", "eth0")), " "); !strings.Contains(got, c.shown+" ") {
					t.Errorf("eth0 is not %q: %s", c.shown, got)
				}
				if got := must(t, a.NetNS, "ip", "route", "show", "default"); !strings.HasPrefix(got, c.way+" ") {
					t.Errorf("the way out is %q, want %q", got, c.way)
				}
				patience := silence
				if c.neighbours {
					patience = trust
				}
				if err := dial(t, a.NetNS, b.NetNS, "10.2.0.3", patience); (err == nil) != c.neighbours {
					t.Errorf("reach a neighbour: %v, want it to succeed: %v", err, c.neighbours)
				}
				down(t, n, a)
				down(t, n, b)
			})
		}
	})
}

// TestPassthru: one container has the parent, and its MAC, to itself.
func TestPassthru(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		lan(t, "lan")
		n := open(t, h.Root, h.RunRoot)
		create(t, n, driverSpec("macvlan", "passthru", "lan"))
		a := setup(t, n, container(t, h.RunRoot, "a", "net"))
		if got := must(t, a.NetNS, "ip", "-d", "link", "show", "eth0"); !strings.Contains(got, "macvlan mode passthru") {
			t.Errorf("eth0: %s", got)
		}
		if _, err := n.Setup(context.Background(), container(t, h.RunRoot, "b", "net"), proc.Self(), nil, nil); err == nil || !strings.Contains(err.Error(), "one container has lan to itself") {
			t.Errorf("a second container on a parent in passthru mode: %v", err)
		}
		down(t, n, a)
		down(t, n, setup(t, n, container(t, h.RunRoot, "b", "net")))
	})
}

// TestParent: the parent of a network is up when a container is on it, and gives it its MTU, unless the user says another.
func TestParent(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		lan(t, "lan")
		must(t, nil, "ip", "link", "set", "lan", "mtu", "1450")
		n := open(t, h.Root, h.RunRoot)
		for _, mtu := range []string{"", "1400"} {
			s := driverSpec("macvlan", "", "lan")
			want := "mtu 1450 "
			if mtu != "" {
				s.Options[network.OptMTU], want = mtu, "mtu "+mtu+" "
			}
			create(t, n, s)
			must(t, nil, "ip", "link", "set", "lan", "down")
			a := setup(t, n, container(t, h.RunRoot, "a", "net"))
			if got := must(t, a.NetNS, "ip", "link", "show", "eth0"); !strings.Contains(got, want) {
				t.Errorf("eth0, with the MTU %q: %s", mtu, got)
			}
			if got := must(t, nil, "ip", "link", "show", "lan"); !strings.Contains(got, ",UP") {
				t.Errorf("the parent: %s", got)
			}
			down(t, n, a)
			if err := n.Remove(context.Background(), "net"); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestVLANParent: a parent like lan.20 is made with its network, and goes with it; one that was there before stays.
func TestVLANParent(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		lan(t, "lan")
		n := open(t, h.Root, h.RunRoot)
		if lacks(t, "link", "lan", "type", "vlan", "id", "9") {
			s := driverSpec("macvlan", "", "lan.20")
			s.IPv4 = true
			if _, err := n.Create(context.Background(), s); err == nil || !strings.Contains(err.Error(), "CONFIG_VLAN_8021Q") {
				t.Errorf("a VLAN without the kernel's support: %v", err)
			}
			return
		}
		for _, driver := range []string{"macvlan", "ipvlan"} {
			before := must(t, nil, "ip", "-o", "link")
			create(t, n, driverSpec(driver, "", "lan.20"))
			a, b := setup(t, n, container(t, h.RunRoot, "a", "net")), setup(t, n, container(t, h.RunRoot, "b", "net"))
			if got := must(t, nil, "ip", "-d", "link", "show", "lan.20"); !strings.Contains(got, "vlan protocol 802.1Q id 20") {
				t.Errorf("%s: lan.20: %s", driver, got)
			}
			reach(t, a.NetNS, b.NetNS, "10.2.0.3")
			down(t, n, a)
			down(t, n, b)
			// A reboot takes it: who starts then makes it again.
			must(t, nil, "ip", "link", "delete", "lan.20")
			a = setup(t, n, container(t, h.RunRoot, "a", "net"))
			must(t, nil, "ip", "link", "show", "lan.20")
			down(t, n, a)
			if err := n.Remove(context.Background(), "net"); err != nil {
				t.Error(err)
			}
			if after := must(t, nil, "ip", "-o", "link"); after != before {
				t.Errorf("%s left links behind:\n%s\nbefore:\n%s", driver, after, before)
			}
		}
		must(t, nil, "ip", "link", "add", "link", "lan", "name", "lan.30", "type", "vlan", "id", "30")
		create(t, n, driverSpec("macvlan", "", "lan.30"))
		if err := n.Remove(context.Background(), "net"); err != nil {
			t.Error(err)
		}
		must(t, nil, "ip", "link", "show", "lan.30")
	})
}
