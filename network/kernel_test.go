package network_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ctr/internal/proc"
	"ctr/internal/testhost"
	"ctr/network"
	"ctr/network/ipam"
	"ctr/network/names"
)

// down tears a sandbox down.
func down(t testing.TB, n *network.Networks, s *network.Sandbox) {
	t.Helper()
	if err := n.Teardown(s.Record.Spec.Record); err != nil {
		t.Errorf("tear down %s: %v", s.Record.Spec.Name, err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close %s: %v", s.Record.Spec.Name, err)
	}
}

func TestFiftyAtOnce(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		my := create(t, n, network.Spec{Name: "mynet"})
		fiftyAtOnce(t, h, n, my)
	})
}

// The first containers of an installation find neither the device nor the subnet of the default bridge.
func TestFiftyAtOnceOnTheDefaultBridge(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		my, err := n.Find("bridge")
		if err != nil {
			t.Fatal(err)
		}
		fiftyAtOnce(t, h, n, my)
		if s, err := n.Find("bridge"); err != nil || s.Bridge != "ctr0" || s.Subnets[0].Prefix.String() != "172.17.0.0/16" {
			t.Errorf("the default bridge has become %+v, %v", s, err)
		}
	})
}

func fiftyAtOnce(t *testing.T, h *testhost.Host, n *network.Networks, my network.Spec) {
	before := census(t, h)
	var mu sync.Mutex
	var all []*network.Sandbox
	seen := map[netip.Prefix]string{}
	var wg sync.WaitGroup
	for i := range 50 {
		s := container(t, h.RunRoot, fmt.Sprintf("c%d", i), my.Name)
		wg.Go(func() {
			made, err := n.Setup(context.Background(), s, proc.Self(), nil, nil)
			if err != nil {
				t.Errorf("set up %s: %v", s.Name, err)
				return
			}
			if err := made.Announce(proc.Self()); err != nil {
				t.Errorf("announce %s: %v", s.Name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			a := made.Record.Endpoints[0].IPv4
			if seen[a] != "" {
				t.Errorf("%s and %s both have %s", seen[a], s.Name, a)
			}
			seen[a] = s.Name
			all = append(all, made)
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	if users, err := n.Users(my.ID); err != nil || len(users) != 50 {
		t.Errorf("the network has %d users, %v", len(users), err)
	}
	reach(t, all[0].NetNS, all[49].NetNS, all[49].Record.Endpoints[0].IPv4.Addr().String())
	for _, s := range all {
		wg.Go(func() { down(t, n, s) })
	}
	wg.Wait()
	if err := os.RemoveAll(filepath.Join(h.RunRoot, "containers")); err != nil {
		t.Fatal(err)
	}
	if my.Name != "bridge" { // whose device is made by its first container, and stays
		settled(t, func() string { return census(t, h).Diff(before) })
	}
}

func TestDefaultBridge(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		a := setup(t, n, container(t, h.RunRoot, "a", "bridge"))
		e := a.Record.Endpoints[0]
		if e.IPv4.String() != "172.17.0.2/16" || e.MAC != "02:42:ac:11:00:02" || e.Interface != "eth0" || e.Gateway4.String() != "172.17.0.1" {
			t.Errorf("the endpoint is %+v", e)
		}
		if a.DNS != nil || a.DNSUDP != nil {
			t.Error("a container on the default bridge has a resolver")
		}
		if got := must(t, nil, "ip", "-o", "addr", "show", "ctr0"); !strings.Contains(got, "172.17.0.1/16") || strings.Contains(got, "inet6") {
			t.Errorf("addresses of ctr0: %s", got)
		}
		if got := must(t, nil, "bridge", "link", "show", "dev", e.HostSide); !strings.Contains(got, "master ctr0 state forwarding") {
			t.Errorf("the port: %s", got)
		}
		if got := must(t, nil, "ip", "-d", "link", "show", e.HostSide); !strings.Contains(got, "alias ctr-0badcafe "+a.Record.Spec.ID) ||
			!strings.Contains(got, fmt.Sprintf("%d: ", e.HostIndex)) {
			t.Errorf("the port: %s", got)
		}
		if got := must(t, nil, "bridge", "fdb", "show", "dev", e.HostSide); !strings.Contains(got, "02:42:ac:11:00:02 sticky master ctr0 static") {
			t.Errorf("forwarding entries: %s", got)
		}
		if got := must(t, a.NetNS, "ip", "route"); !strings.Contains(got, "default via 172.17.0.1 dev eth0") {
			t.Errorf("routes: %s", got)
		}
		if got := must(t, nil, "sysctl", "-n", "net.ipv4.ip_forward"); got != "1\n" {
			t.Errorf("ip_forward is %s", got)
		}
		conf, err := os.ReadFile(filepath.Join(a.Record.Spec.Dir, "resolv.conf"))
		if err != nil || !strings.Contains(string(conf), "nameserver "+testhost.ResolverAddress) {
			t.Errorf("resolv.conf: %s, %v", conf, err)
		}
		hosts, err := os.ReadFile(filepath.Join(a.Record.Spec.Dir, "hosts"))
		if err != nil || !strings.HasSuffix(string(hosts), "172.17.0.2\t"+a.Record.Spec.ID[:12]+"\n") {
			t.Errorf("hosts: %s, %v", hosts, err)
		}
		entries, err := os.ReadDir(filepath.Join(h.RunRoot, "networks", e.Network, "names"))
		if err != nil || len(entries) != 0 {
			t.Errorf("the default bridge has names: %v, %v", entries, err)
		}
		down(t, n, a)
		// The bridge stays, and says that nobody is there.
		settled(t, func() string {
			if got := must(t, nil, "ip", "link", "show", "ctr0"); !strings.Contains(got, "NO-CARRIER") || !strings.Contains(got, "state DOWN") {
				return got
			}
			return ""
		})
	})
}

func TestDefaultBridgeSkipsWhatTheHostUses(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		must(t, nil, "ip", "link", "add", "lan", "type", "bridge")
		must(t, nil, "ip", "addr", "add", "172.17.200.1/24", "dev", "lan")
		must(t, nil, "ip", "link", "set", "lan", "up")
		// What a VPN leads elsewhere, in halves or through a gateway, leaves all of that free.
		must(t, nil, "ip", "route", "add", "0.0.0.0/1", "dev", "lan")
		must(t, nil, "ip", "route", "add", "128.0.0.0/1", "dev", "lan")
		must(t, nil, "ip", "route", "add", "172.16.0.0/12", "via", "172.17.200.9")
		if err := os.WriteFile("/etc/resolv.conf", []byte("nameserver 172.18.0.53\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		n := open(t, h.Root, h.RunRoot)
		s, err := n.Find("bridge")
		if err != nil || len(s.Subnets) != 1 || s.Subnets[0].Prefix.String() != "172.19.0.0/16" {
			t.Fatalf("the default bridge is %+v, %v", s, err)
		}
		// A VPN comes up before the first container does: another subnet is chosen.
		must(t, nil, "ip", "route", "add", "172.19.128.0/17", "dev", "lan")
		a := setup(t, n, container(t, h.RunRoot, "a", "bridge"))
		if got := a.Record.Endpoints[0].IPv4.String(); got != "172.20.0.2/16" {
			t.Errorf("the container has %s", got)
		}
		// From then on the subnet stays, while somebody has an address in it.
		must(t, nil, "ip", "route", "add", "172.20.128.0/17", "dev", "lan")
		must(t, nil, "ip", "link", "del", "ctr0")
		b := setup(t, n, container(t, h.RunRoot, "b", "bridge"))
		if got := b.Record.Endpoints[0].IPv4.String(); got != "172.20.0.3/16" {
			t.Errorf("the second container has %s", got)
		}
		// The bridge that was made again has taken up the port of the first container.
		reach(t, b.NetNS, a.NetNS, "172.20.0.2")
		if got := must(t, nil, "bridge", "fdb", "show", "dev", a.Record.Endpoints[0].HostSide); !strings.Contains(got, "master ctr0 static") {
			t.Errorf("forwarding entries: %s", got)
		}
	})
}

// site is the /48 that the IPv6 subnet of a network is in.
func site(s network.Spec) netip.Prefix {
	return netip.PrefixFrom(s.Subnets[0].Prefix.Addr(), 48).Masked()
}

// find returns a network.
func find(t *testing.T, n *network.Networks, name string) network.Spec {
	t.Helper()
	s, err := n.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTwoInstallationsOnOneHost(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		one := open(t, h.Root, h.RunRoot)
		two, err := network.Open(network.Config{
			Data: h.Dir + "/two/networks", Run: h.Dir + "/two/run", Names: h.Dir + "/two/names", Tag: "22222222",
		})
		if err != nil {
			t.Fatal(err)
		}
		defer two.Close()
		a := setup(t, one, container(t, h.RunRoot, "a", "bridge"))
		s := container(t, h.Dir, "a", "bridge")
		b := setup(t, two, s)
		if got := b.Record.Endpoints[0].IPv4.String(); got != "172.18.0.2/16" {
			t.Errorf("the second installation's container has %s", got)
		}
		must(t, nil, "ip", "link", "show", "ctr1")
		for _, name := range []string{"six", "seven"} {
			if _, err := one.Create(context.Background(), network.Spec{Name: name, IPv6: true}); err != nil {
				t.Fatal(err)
			}
		}
		six, err := two.Create(context.Background(), network.Spec{Name: "six", IPv6: true})
		if err != nil {
			t.Fatal(err)
		}
		first, second := find(t, one, "six"), find(t, one, "seven")
		if site(first) != site(second) || site(first) == site(six) {
			t.Errorf("each installation has a /48: %s and %s, %s", site(first), site(second), site(six))
		}
		if b.Record.NetnsName != "a-"+s.ID[:12] || len(b.Warnings) != 1 {
			t.Errorf("the second namespace is called %s, with warnings %q", b.Record.NetnsName, b.Warnings)
		}
		if _, err := two.Create(context.Background(), network.Spec{
			Name: "x", IPv4: true, Options: map[string]string{network.OptBridgeName: "ctr0"},
		}); !errors.Is(err, network.ErrExists) {
			t.Errorf("took the other's bridge: %v", err)
		}
		if _, err := two.Create(context.Background(), network.Spec{
			Name: "x", IPv4: true, Subnets: []network.Subnet{{Prefix: netip.MustParsePrefix("172.17.4.0/24")}},
		}); !errors.Is(err, network.ErrOverlap) {
			t.Errorf("took the other's subnet: %v", err)
		}
		down(t, two, b)
		if err := two.Reset(context.Background()); err != nil {
			t.Fatal(err)
		}
		reach(t, a.NetNS, nil, "172.17.0.1")
		if got := must(t, nil, "ip", "netns", "list"); !strings.HasPrefix(got, "a (id:") || strings.Count(got, "\n") != 1 {
			t.Errorf("ip netns list: %q", got)
		}
	})
}

func TestNamesFollowTheSandbox(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		my := create(t, n, network.Spec{Name: "mynet"})
		s := container(t, h.RunRoot, "web", "mynet")
		s.Hostname = "www"
		s.Endpoints[0].Aliases = []string{"front", "WEB"}
		zone := names.Zone{Dir: filepath.Join(h.RunRoot, "networks", my.ID, "names")}
		made, err := n.Setup(context.Background(), s, proc.Self(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, exists, err := zone.Lookup("web"); exists || err != nil {
			t.Errorf("the name is there before it is announced: %v", err)
		}
		if err := made.Announce(proc.Self()); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"web", "front", s.ID[:12], "www"} {
			entries, exists, err := zone.Lookup(name)
			if err != nil || !exists || len(entries) != 1 || entries[0].Addr.String() != "172.18.0.2" {
				t.Errorf("%s is %v, %t, %v", name, entries, exists, err)
			}
		}
		if name, _, exists, err := zone.Reverse(netip.MustParseAddr("172.18.0.2")); name != "web" || !exists || err != nil {
			t.Errorf("the address is that of %q, %t, %v", name, exists, err)
		}
		if made.DNS == nil || len(made.DNS.Networks) != 1 || made.DNS.Networks[0].Zone != zone.Dir || made.DNS.Networks[0].TTL != 5 {
			t.Errorf("the resolver's configuration is %+v", made.DNS)
		}
		down(t, n, made)
		if _, exists, err := zone.Lookup("web"); exists || err != nil {
			t.Errorf("the name is still there: %v", err)
		}
	})
}

// A record is enough to tear down, whatever is gone already.
func TestTeardownWithThingsGone(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		my := create(t, n, network.Spec{Name: "mynet"})
		leases := filepath.Join(h.RunRoot, "networks", my.ID, "leases")
		zone := filepath.Join(h.RunRoot, "networks", my.ID, "names")
		// One bit a thing that is gone.
		gone := []func(s *network.Sandbox) error{
			func(s *network.Sandbox) error { return s.Close() },
			func(*network.Sandbox) error { _, err := run(nil, "ip", "link", "del", my.Bridge); return err },
			func(*network.Sandbox) error { return os.RemoveAll(leases) },
			func(*network.Sandbox) error { return os.RemoveAll(zone) },
			func(*network.Sandbox) error { _, err := run(nil, "nft", "flush", "ruleset"); return err },
			func(*network.Sandbox) error { return os.Remove("/run/netns/c") },
		}
		for bits := range 1 << len(gone) {
			s := container(t, h.RunRoot, "c", "mynet")
			s.Ports = []network.Port{{Protocol: network.TCP, HostPort: 8080, ContainerPort: 80}}
			made, err := n.Setup(context.Background(), s, proc.Self(), nil, nil)
			if err != nil {
				t.Fatalf("set up after %06b: %v", bits, err)
			}
			if err := made.Announce(proc.Self()); err != nil {
				t.Fatalf("announce after %06b: %v", bits, err)
			}
			for i, remove := range gone {
				if bits>>i&1 == 1 {
					if err := remove(made); err != nil {
						t.Fatalf("%06b: %v", bits, err)
					}
				}
			}
			for range 2 {
				if err := n.Teardown(s.Record); err != nil {
					t.Errorf("tear down with %06b gone: %v", bits, err)
				}
			}
			if bits&1 == 0 {
				made.Close()
			}
			for _, path := range []string{"/run/netns/c", s.Record, leases + "/172.18.0.2", zone + "/c"} {
				if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("with %06b gone, %s is left: %v", bits, path, err)
				}
			}
		}
	})
}

// What a killed monitor and its container leave is taken by the next one that comes by.
func TestDeadSandboxIsSwept(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		create(t, n, network.Spec{Name: "mynet"})
		monitor := exec.Command("sleep", "1000")
		if err := monitor.Start(); err != nil {
			t.Fatal(err)
		}
		owner, err := proc.Of(monitor.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		s := container(t, h.RunRoot, "a", "mynet")
		made, err := n.Setup(context.Background(), s, owner, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := made.Announce(owner); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Setup(context.Background(), s, proc.Self(), nil, nil); err == nil {
			t.Fatal("a live container got a second sandbox")
		}
		if err := n.Remove(context.Background(), "mynet"); !errors.Is(err, network.ErrInUse) || !strings.Contains(err.Error(), `(name:"a" id:"`+s.ID[:12]+`")`) {
			t.Errorf("removing a network in use: %v", err)
		}
		monitor.Process.Kill()
		monitor.Wait()
		made.Close()
		b := setup(t, n, container(t, h.RunRoot, "b", "mynet"))
		if _, err := os.Stat(s.Record); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the dead one's record is left: %v", err)
		}
		if _, err := os.Lstat("/run/netns/a"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the dead one's name is left: %v", err)
		}
		c := setup(t, n, container(t, h.RunRoot, "c", "mynet"))
		if got := []string{b.Record.Endpoints[0].IPv4.String(), c.Record.Endpoints[0].IPv4.String()}; got[0] != "172.18.0.2/16" || got[1] != "172.18.0.3/16" {
			t.Errorf("the addresses given next are %v", got)
		}
		down(t, n, b)
		down(t, n, c)
		if err := n.Remove(context.Background(), "mynet"); err != nil {
			t.Error(err)
		}
	})
}

func TestRequestedAddresses(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		create(t, n, network.Spec{Name: "mynet", Subnets: []network.Subnet{{
			Prefix: netip.MustParsePrefix("10.9.0.0/16"), Range: netip.MustParsePrefix("10.9.5.0/24"),
			Gateway: netip.MustParseAddr("10.9.0.1"), Auxiliary: map[string]netip.Addr{"router": netip.MustParseAddr("10.9.5.0")},
		}}})
		a := setup(t, n, container(t, h.RunRoot, "a", "mynet"))
		if got := a.Record.Endpoints[0].IPv4.String(); got != "10.9.5.1/16" {
			t.Errorf("the lowest of the range is %s", got)
		}
		fixed := container(t, h.RunRoot, "b", "mynet")
		fixed.Endpoints[0].IPv4 = netip.MustParseAddr("10.9.77.7")
		fixed.Endpoints[0].MAC = "02:00:00:00:00:77"
		b := setup(t, n, fixed)
		if got := must(t, b.NetNS, "ip", "addr", "show", "eth0"); !strings.Contains(got, "10.9.77.7/16") || !strings.Contains(got, "02:00:00:00:00:77") {
			t.Errorf("eth0: %s", got)
		}
		before := census(t, h)
		for name, tc := range map[string]struct {
			network, ip string
			is          error
			text        string
		}{
			"taken":          {"mynet", "10.9.5.1", ipam.ErrInUse, "Address already in use: it is that of container "},
			"gateway":        {"mynet", "10.9.0.1", ipam.ErrInUse, "Address already in use: it is the gateway"},
			"auxiliary":      {"mynet", "10.9.5.0", ipam.ErrInUse, "Address already in use: it is the auxiliary address "},
			"broadcast":      {"mynet", "10.9.255.255", ipam.ErrInUse, "Address already in use: it is the address of subnet 10.9.0.0/16 itself, or its broadcast"},
			"outside":        {"mynet", "10.8.0.1", network.ErrInvalid, "no configured subnet contains IP address 10.8.0.1"},
			"default bridge": {"bridge", "172.17.0.9", network.ErrInvalid, "user-specified IP address is supported on user-defined networks only"},
			"no network":     {"nonet", "10.9.0.9", network.ErrNotFound, "network nonet not found"},
			"host":           {"host", "10.9.0.9", network.ErrInvalid, ""},
		} {
			s := container(t, h.RunRoot, "c", tc.network)
			s.Endpoints[0].IPv4 = netip.MustParseAddr(tc.ip)
			made, err := n.Setup(context.Background(), s, proc.Self(), nil, nil)
			if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.text) || made != nil {
				t.Errorf("%s: %v", name, err)
			}
			os.Remove(s.Dir)
		}
		settled(t, func() string { return census(t, h).Diff(before) })
	})
}
