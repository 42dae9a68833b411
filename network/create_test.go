package network_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ctr/internal/proc"
	"ctr/internal/testhost"
	"ctr/network"
	"ctr/network/ipam"
)

func subnets(texts ...string) (all []network.Subnet) {
	for _, s := range texts {
		all = append(all, network.Subnet{Prefix: netip.MustParsePrefix(s)})
	}
	return all
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		create(t, n, network.Spec{Name: "taken", Subnets: subnets("10.1.0.0/16")})
		must(t, nil, "ip", "link", "add", "lan", "type", "bridge")
		must(t, nil, "ip", "addr", "add", "10.2.0.1/16", "dev", "lan")
		must(t, nil, "ip", "link", "set", "lan", "up")
		before := census(t, h)
		opt := func(key, value string) map[string]string { return map[string]string{key: value} }
		for name, tc := range map[string]struct {
			spec network.Spec
			is   error
			text string
			hint string
		}{
			"name taken":        {network.Spec{Name: "taken", IPv4: true}, network.ErrExists, "network with name taken already exists", ""},
			"predefined":        {network.Spec{Name: "bridge", IPv4: true}, network.ErrPredefined, "operation is not permitted on pre-defined network bridge", ""},
			"empty name":        {network.Spec{IPv4: true}, network.ErrInvalid, `network name ""`, ""},
			"path as name":      {network.Spec{Name: "../x", IPv4: true}, network.ErrInvalid, "only [a-zA-Z0-9]", ""},
			"option as name":    {network.Spec{Name: "-x", IPv4: true}, network.ErrInvalid, "only [a-zA-Z0-9]", ""},
			"no family":         {network.Spec{Name: "x"}, network.ErrInvalid, "IPv4 or IPv6 must be enabled", ""},
			"unknown driver":    {network.Spec{Name: "x", IPv4: true, Driver: "wires"}, network.ErrUnsupported, `network driver "wires" is not supported`, "bridge, macvlan"},
			"overlay":           {network.Spec{Name: "x", IPv4: true, Driver: "overlay"}, network.ErrUnsupported, `"overlay" is not supported yet`, ""},
			"second host":       {network.Spec{Name: "x", IPv4: true, Driver: "host"}, network.ErrPredefined, "only one instance", ""},
			"overlap":           {network.Spec{Name: "x", IPv4: true, Subnets: subnets("10.1.3.0/24")}, network.ErrOverlap, "invalid pool request: Pool overlaps with other one on this address space", "10.1.0.0/16 is network taken's"},
			"overlap with host": {network.Spec{Name: "x", IPv4: true, Subnets: subnets("10.0.0.0/8")}, network.ErrOverlap, "Pool overlaps", "10."},
			"host's link":       {network.Spec{Name: "x", IPv4: true, Subnets: subnets("10.2.9.0/24")}, network.ErrOverlap, "Pool overlaps", "this host routes 10.2.0.0/16 to its link lan"},
			"overlap of its own": {
				network.Spec{Name: "x", IPv4: true, Subnets: subnets("10.3.0.0/16", "10.3.4.0/24")}, network.ErrOverlap, "Pool overlaps", "same network",
			},
			"not masked":      {network.Spec{Name: "x", IPv4: true, Subnets: subnets("10.3.0.1/16")}, network.ErrInvalid, "invalid subnet 10.3.0.1/16: it should be 10.3.0.0/16", ""},
			"everything":      {network.Spec{Name: "x", IPv4: true, Subnets: subnets("0.0.0.0/0")}, network.ErrInvalid, "cannot be given to containers", ""},
			"loopback":        {network.Spec{Name: "x", IPv4: true, Subnets: subnets("127.3.0.0/16")}, network.ErrInvalid, "cannot be given to containers", ""},
			"multicast":       {network.Spec{Name: "x", IPv4: true, Subnets: subnets("239.3.0.0/16")}, network.ErrInvalid, "cannot be given to containers", ""},
			"one address":     {network.Spec{Name: "x", IPv4: true, Subnets: subnets("10.3.0.1/32")}, network.ErrInvalid, "no address is left", ""},
			"IPv6 not on":     {network.Spec{Name: "x", IPv4: true, Subnets: subnets("fd00::/64")}, network.ErrInvalid, "IPv6 has not been enabled", ""},
			"IPv4 off":        {network.Spec{Name: "x", IPv6: true, Subnets: subnets("10.3.0.0/16")}, network.ErrInvalid, "IPv4 has been disabled", ""},
			"gateway outside": {network.Spec{Name: "x", IPv4: true, Subnets: []network.Subnet{{Prefix: netip.MustParsePrefix("10.3.0.0/16"), Gateway: netip.MustParseAddr("10.4.0.1")}}}, network.ErrInvalid, "subnet 10.3.0.0/16 doesn't contain this address", ""},
			"gateway is net":  {network.Spec{Name: "x", IPv4: true, Subnets: []network.Subnet{{Prefix: netip.MustParsePrefix("10.3.0.0/16"), Gateway: netip.MustParseAddr("10.3.0.0")}}}, network.ErrInvalid, "address of subnet", ""},
			"range outside":   {network.Spec{Name: "x", IPv4: true, Subnets: []network.Subnet{{Prefix: netip.MustParsePrefix("10.3.0.0/16"), Range: netip.MustParsePrefix("10.4.0.0/24")}}}, network.ErrInvalid, "part of subnet", ""},
			"range too large": {network.Spec{Name: "x", IPv4: true, Subnets: []network.Subnet{{Prefix: netip.MustParsePrefix("10.3.0.0/16"), Range: netip.MustParsePrefix("10.0.0.0/8")}}}, network.ErrInvalid, "part of subnet", ""},
			"range alone":     {network.Spec{Name: "x", IPv4: true, Subnets: []network.Subnet{{Range: netip.MustParsePrefix("10.3.0.0/16")}}}, network.ErrInvalid, "must have a subnet", ""},
			"aux is gateway":  {network.Spec{Name: "x", IPv4: true, Subnets: []network.Subnet{{Prefix: netip.MustParsePrefix("10.3.0.0/16"), Gateway: netip.MustParseAddr("10.3.0.1"), Auxiliary: map[string]netip.Addr{"a": netip.MustParseAddr("10.3.0.1")}}}}, network.ErrInvalid, "it is the gateway", ""},
			"bad MTU":         {network.Spec{Name: "x", IPv4: true, Options: opt(network.OptMTU, "12")}, network.ErrInvalid, "out of range", ""},
			"bad boolean":     {network.Spec{Name: "x", IPv4: true, Options: opt(network.OptICC, "maybe")}, network.ErrInvalid, "maybe", ""},
			"bad TTL":         {network.Spec{Name: "x", IPv4: true, Options: opt(network.OptDNSTTL, "-1")}, network.ErrInvalid, "-1", ""},
			"unknown option":  {network.Spec{Name: "x", IPv4: true, Options: opt("com.docker.network.nonsense", "1")}, network.ErrUnsupported, "nonsense", ""},
			"bridge too long": {network.Spec{Name: "x", IPv4: true, Options: opt(network.OptBridgeName, "0123456789abcdef")}, network.ErrInvalid, "1 to 15 characters", ""},
			"bridge is there": {network.Spec{Name: "x", IPv4: true, Options: opt(network.OptBridgeName, "lan")}, network.ErrExists, `bridge "lan" already exists on this host and belongs to somebody else`, "choose another name"},
			"no parent":       {network.Spec{Name: "x", IPv4: true, Driver: "macvlan"}, network.ErrInvalid, "needs -o parent=LINK", "VLAN"},
			"parent missing":  {network.Spec{Name: "x", IPv4: true, Driver: "macvlan", Options: opt(network.OptParent, "eth7")}, network.ErrInvalid, `link "eth7": no such link`, ""},
			"bad mode":        {network.Spec{Name: "x", IPv4: true, Driver: "macvlan", Options: map[string]string{network.OptParent: "lan", network.OptMacvlanMode: "fast"}}, network.ErrInvalid, "vepa", ""},
		} {
			_, err := n.Create(context.Background(), tc.spec)
			var hinted interface{ Hint() string }
			switch {
			case err == nil:
				t.Errorf("%s: it was made", name)
			case !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "\n"):
				t.Errorf("%s: %v", name, err)
			case tc.hint != "" && (!errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), tc.hint)):
				t.Errorf("%s: %v without a hint of %q", name, err, tc.hint)
			}
		}
		if diff := census(t, h).Diff(before); diff != "" {
			t.Errorf("left behind:\n%s", diff)
		}
	})
}

func TestCreateFindRemove(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		// The predefined networks' records, and the firewall's table, are made once.
		if err := n.Remove(context.Background(), create(t, n, network.Spec{Name: "first"}).ID); err != nil {
			t.Fatal(err)
		}
		before := census(t, h)
		made := create(t, n, network.Spec{Name: "mynet", Labels: map[string]string{"a": "b"}})
		if made.Subnets[0].Prefix.String() != "172.18.0.0/16" || made.Subnets[0].Gateway.String() != "172.18.0.1" ||
			made.Bridge != "br-"+made.ID[:12] || made.Driver != "bridge" || len(made.ID) != 64 {
			t.Errorf("made %+v", made)
		}
		got := must(t, nil, "ip", "addr", "show", made.Bridge) + must(t, nil, "ip", "-d", "link", "show", made.Bridge)
		for _, want := range []string{"172.18.0.1/16", "UP", "02:42:ac:12:00:01", "alias ctr-0badcafe " + made.ID} {
			if !strings.Contains(got, want) {
				t.Errorf("the bridge lacks %s: %s", want, got)
			}
		}
		for _, key := range []string{"accept_ra=0", "disable_ipv6=1"} {
			name, want, _ := strings.Cut(key, "=")
			if got := must(t, nil, "cat", "/proc/sys/net/ipv6/conf/"+made.Bridge+"/"+name); strings.TrimSpace(got) != want {
				t.Errorf("%s is %s", name, got)
			}
		}
		for _, ref := range []string{"mynet", made.ID, made.ID[:12], made.ID[:6]} {
			if s, err := n.Find(ref); err != nil || s.ID != made.ID || s.Labels["a"] != "b" {
				t.Errorf("find %s: %+v, %v", ref, s, err)
			}
		}
		for _, ref := range []string{"nonet", "../networks", made.ID + "0", "MYNET"} {
			if _, err := n.Find(ref); !errors.Is(err, network.ErrNotFound) {
				t.Errorf("find %q: %v", ref, err)
			}
		}
		if _, err := n.Find(""); err == nil || !strings.Contains(err.Error(), "value is empty") {
			t.Errorf("find nothing: %v", err)
		}
		all, err := n.List()
		var names []string
		for _, s := range all {
			names = append(names, s.Name)
		}
		if err != nil || strings.Join(names, " ") != "bridge host mynet none" {
			t.Errorf("the networks are %v, %v", names, err)
		}
		for _, ref := range []string{"bridge", "host", "none"} {
			if err := n.Remove(context.Background(), ref); !errors.Is(err, network.ErrPredefined) ||
				err.Error() != ref+" is a pre-defined network and cannot be removed" {
				t.Errorf("remove %s: %v", ref, err)
			}
		}
		if err := n.Remove(context.Background(), made.ID[:12]); err != nil {
			t.Fatal(err)
		}
		if diff := census(t, h).Diff(before); diff != "" {
			t.Errorf("left behind:\n%s", diff)
		}
	})
}

// Networks made at the same time get different subnets, and one name has one owner.
func TestCreateAtOnce(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		var mu sync.Mutex
		seen := map[netip.Prefix]bool{}
		var same int
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				s, err := n.Create(context.Background(), network.Spec{Name: "n" + string(rune('0'+i)), IPv4: true})
				_, errSame := n.Create(context.Background(), network.Spec{Name: "same", IPv4: true})
				mu.Lock()
				defer mu.Unlock()
				if err != nil || seen[s.Subnets[0].Prefix] {
					t.Errorf("%+v, %v", s, err)
				} else {
					seen[s.Subnets[0].Prefix] = true
				}
				switch {
				case errSame == nil:
					same++
				case !errors.Is(errSame, network.ErrExists):
					t.Error(errSame)
				}
			})
		}
		wg.Wait()
		if same != 1 {
			t.Errorf("%d networks of one name", same)
		}
	})
}

// What a killed creation left is no obstacle.
func TestHalfMadeNetwork(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		if _, err := n.Find("bridge"); err != nil {
			t.Fatal(err)
		}
		id := strings.Repeat("ab", 32)
		if err := os.Mkdir(filepath.Join(h.Root, "networks", id), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(id, filepath.Join(h.Root, "names/networks/mynet")); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Find("mynet"); !errors.Is(err, network.ErrNotFound) {
			t.Errorf("found it: %v", err)
		}
		create(t, n, network.Spec{Name: "mynet"})
		if _, err := os.Stat(filepath.Join(h.Root, "networks", id)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("its folder is left: %v", err)
		}
	})
}

// A record that cannot be read is no reason to refuse other networks, and can be removed.
func TestDamagedNetwork(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		broken := create(t, n, network.Spec{Name: "broken"})
		if err := os.WriteFile(filepath.Join(h.Root, "networks", broken.ID, "network.json"), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if all, err := n.List(); err == nil || len(all) != 3 {
			t.Errorf("the list is %+v, %v", all, err)
		}
		// Its subnet is known from the bridge, which is still there.
		if other := create(t, n, network.Spec{Name: "other"}); other.Subnets[0].Prefix.String() != "172.19.0.0/16" {
			t.Errorf("the next network is %+v", other)
		}
		if err := n.Remove(context.Background(), "broken"); err != nil {
			t.Fatal(err)
		}
		if again := create(t, n, network.Spec{Name: "broken"}); again.Subnets[0].Prefix.String() != "172.18.0.0/16" {
			t.Errorf("made again, it is %+v", again)
		}
		if _, err := run(nil, "ip", "link", "show", broken.Bridge); err == nil {
			t.Error("its bridge was not swept")
		}
	})
}

func TestSeveralSubnets(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		create(t, n, network.Spec{Name: "mynet", Subnets: subnets("10.1.0.0/30", "10.2.0.0/31")})
		a, b := setup(t, n, container(t, h.RunRoot, "a", "mynet")), setup(t, n, container(t, h.RunRoot, "b", "mynet"))
		if got := b.Record.Endpoints[0]; got.IPv4.String() != "10.2.0.1/31" || got.Gateway4.String() != "10.2.0.0" {
			t.Errorf("the second container has %+v", got)
		}
		reach(t, a.NetNS, nil, "10.1.0.1")
		reach(t, b.NetNS, nil, "10.2.0.0")
		_, err := n.Setup(context.Background(), container(t, h.RunRoot, "c", "mynet"), proc.Self(), nil, nil)
		if !errors.Is(err, ipam.ErrExhausted) || !strings.Contains(err.Error(), "no available IPv4 addresses on this network's address pools") {
			t.Errorf("on a full network: %v", err)
		}
	})
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		// Links of the host that hear router advertisements go on doing so when the host becomes a router, and only those.
		lan(t, "hears")
		lan(t, "deaf")
		must(t, nil, "sysctl", "-qw", "net.ipv6.conf.hears.accept_ra=1", "net.ipv6.conf.deaf.accept_ra=0")
		both, err := n.Create(context.Background(), network.Spec{Name: "both", IPv4: true, IPv6: true})
		if err != nil {
			t.Fatal(err)
		}
		only := create(t, n, network.Spec{Name: "only", IPv6: true, Subnets: subnets("2001:db8:1::/64")})
		if p := both.Subnets[1].Prefix; len(both.Subnets) != 2 || p.Bits() != 64 || !netip.MustParsePrefix("fd00::/8").Contains(p.Addr()) {
			t.Errorf("subnets %+v", both.Subnets)
		}
		if len(only.Subnets) != 1 || only.Subnets[0].Gateway.String() != "2001:db8:1::1" {
			t.Errorf("subnets %+v", only.Subnets)
		}
		a, b := setup(t, n, container(t, h.RunRoot, "a", "both")), setup(t, n, container(t, h.RunRoot, "b", "both"))
		v6 := b.Record.Endpoints[0].IPv6.Addr().String()
		if !strings.HasSuffix(v6, "::3") {
			t.Errorf("the second address is %s", v6)
		}
		if got := must(t, a.NetNS, "ip", "-6", "addr", "show", "dev", "eth0"); !strings.Contains(got, "::2/64") || strings.Contains(got, "tentative") {
			t.Errorf("addresses: %s", got)
		}
		reach(t, a.NetNS, b.NetNS, v6)
		reach(t, a.NetNS, nil, both.Subnets[1].Gateway.String())
		if got := must(t, a.NetNS, "ip", "-6", "route", "show", "default"); !strings.Contains(got, "via "+both.Subnets[1].Gateway.String()) {
			t.Errorf("default route: %s", got)
		}
		if got := must(t, a.NetNS, "cat", "/proc/sys/net/ipv6/conf/eth0/accept_ra"); got != "0\n" {
			t.Errorf("accept_ra is %s", got)
		}
		if got := must(t, nil, "cat", "/proc/sys/net/ipv6/conf/all/forwarding"); got != "1\n" {
			t.Errorf("forwarding is %s", got)
		}
		if got := must(t, nil, "sysctl", "-n", "net.ipv6.conf.hears.accept_ra", "net.ipv6.conf.deaf.accept_ra"); got != "2\n0\n" {
			t.Errorf("accept_ra of the host's links is %q", got)
		}
		if got := must(t, nil, "ip", "-o", "-6", "addr", "show", "dev", a.Record.Endpoints[0].HostSide); got != "" {
			t.Errorf("the host's end of a veth pair has addresses: %s", got)
		}
		c := setup(t, n, container(t, h.RunRoot, "c", "only"))
		if e := c.Record.Endpoints[0]; e.IPv4.IsValid() || e.IPv6.String() != "2001:db8:1::2/64" || !strings.HasPrefix(e.MAC, "02:42:") {
			t.Errorf("the endpoint is %+v", e)
		}
		reach(t, c.NetNS, nil, "2001:db8:1::1")
	})
}

func TestSeveralNetworks(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		create(t, n, network.Spec{Name: "inner", Internal: true})
		create(t, n, network.Spec{Name: "zeta"})
		create(t, n, network.Spec{Name: "alpha", Options: map[string]string{network.OptIfacePrefix: "net", network.OptMTU: "1400"}})
		s := container(t, h.RunRoot, "a", "inner", "zeta", "alpha")
		made := setup(t, n, s)
		var got []string
		for _, e := range made.Record.Endpoints {
			got = append(got, e.Interface)
		}
		if strings.Join(got, " ") != "eth0 eth1 net0" {
			t.Errorf("interfaces %v", got)
		}
		if got := must(t, made.NetNS, "ip", "route", "show", "default"); !strings.Contains(got, "dev net0") || strings.Count(got, "\n") != 1 {
			t.Errorf("default route: %s", got)
		}
		if got := must(t, made.NetNS, "ip", "link", "show", "net0"); !strings.Contains(got, "mtu 1400") {
			t.Errorf("net0: %s", got)
		}
		if d := made.DNS; d.Internal || len(d.Networks) != 3 || d.Networks[0].Name != "alpha" || d.Networks[2].Name != "inner" {
			t.Errorf("the resolver's configuration is %+v", d)
		}
		down(t, n, made)
		// The user's word counts more.
		s.Endpoints[1].GwPriority = 1
		made = setup(t, n, s)
		if got := must(t, made.NetNS, "ip", "route", "show", "default"); !strings.Contains(got, "dev eth1") {
			t.Errorf("default route: %s", got)
		}
		down(t, n, made)
		lonely := setup(t, n, container(t, h.RunRoot, "b", "inner"))
		if got := must(t, lonely.NetNS, "ip", "route", "show", "default"); got != "" {
			t.Errorf("a way out of an internal network: %s", got)
		}
		if !lonely.DNS.Internal || lonely.Record.Endpoints[0].Gateway4.IsValid() {
			t.Errorf("%+v, %+v", lonely.DNS, lonely.Record.Endpoints)
		}
		twice := container(t, h.RunRoot, "c", "zeta", "zeta")
		if _, err := n.Setup(context.Background(), twice, proc.Self(), nil, nil); !errors.Is(err, network.ErrInvalid) {
			t.Errorf("twice on one network: %v", err)
		}
	})
}

func TestNoNetwork(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		s := container(t, h.RunRoot, "a")
		s.None = true
		made := setup(t, n, s)
		if got := must(t, made.NetNS, "ip", "-o", "link"); strings.Count(got, "\n") != 1 || !strings.Contains(got, "LOOPBACK,UP") {
			t.Errorf("links: %s", got)
		}
		if made.DNS != nil {
			t.Error("it has a resolver")
		}
		reach(t, made.NetNS, made.NetNS, "127.0.0.1")
		down(t, n, made)
		if _, err := os.Lstat("/run/netns/a"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("its name is left: %v", err)
		}
	})
}

func TestMacvlan(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		must(t, nil, "ip", "link", "add", "lan", "type", "bridge")
		must(t, nil, "ip", "addr", "add", "10.2.0.9/16", "dev", "lan")
		must(t, nil, "ip", "link", "set", "lan", "up")
		before := census(t, h)
		create(t, n, network.Spec{Name: "mac", Driver: "macvlan", Subnets: subnets("10.2.0.0/16"), Options: map[string]string{network.OptParent: "lan"}})
		a, b := setup(t, n, container(t, h.RunRoot, "a", "mac")), setup(t, n, container(t, h.RunRoot, "b", "mac"))
		if got := must(t, a.NetNS, "ip", "-d", "addr", "show", "eth0"); !strings.Contains(got, "macvlan mode bridge") ||
			!strings.Contains(got, "10.2.0.2/16") || !strings.Contains(got, "02:42:0a:02:00:02") {
			t.Errorf("eth0: %s", got)
		}
		reach(t, a.NetNS, b.NetNS, "10.2.0.3")
		if _, err := n.Create(context.Background(), network.Spec{
			Name: "second", IPv4: true, Driver: "macvlan", Subnets: subnets("10.3.0.0/16"), Options: map[string]string{network.OptParent: "lan"},
		}); err == nil || !strings.Contains(err.Error(), "network mac is already using parent interface lan") {
			t.Errorf("a second network on one parent: %v", err)
		}
		down(t, n, a)
		down(t, n, b)
		if err := n.Remove(context.Background(), "mac"); err != nil {
			t.Error(err)
		}
		for _, path := range []string{filepath.Join(h.RunRoot, "containers")} {
			os.RemoveAll(path)
		}
		after := census(t, h).Diff(before)
		for line := range strings.Lines(after) {
			if !strings.Contains(line, "+ state ") { // the predefined networks
				t.Errorf("left behind: %s", line)
			}
		}
	})
}

func TestResetLeavesNothing(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		before := census(t, h)
		n := open(t, h.Root, h.RunRoot)
		create(t, n, network.Spec{Name: "mynet"})
		down(t, n, setup(t, n, container(t, h.RunRoot, "a", "mynet", "bridge")))
		if err := n.Reset(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := n.Reset(context.Background()); err != nil {
			t.Errorf("a second time: %v", err)
		}
		os.RemoveAll(h.Root)
		os.RemoveAll(h.RunRoot)
		settled(t, func() string { return census(t, h).Diff(before) })
	})
}

// An ID prefix of several networks is answered with which they are.
func TestFindAmbiguous(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		first := map[byte]network.Spec{}
		for i := 0; ; i++ { // among seventeen IDs two begin alike
			made := create(t, n, network.Spec{Name: fmt.Sprint("net", i)})
			twin, ok := first[made.ID[0]]
			if !ok {
				first[made.ID[0]] = made
				continue
			}
			_, err := n.Find(made.ID[:1])
			for _, s := range []network.Spec{twin, made} {
				if want := fmt.Sprintf("%s (%.12s)", s.Name, s.ID); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v: want %s in it", err, want)
				}
			}
			return
		}
	})
}
