package rtnl_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
	"ctr/network/netns"
	"ctr/network/rtnl"
)

func dial(t *testing.T) *rtnl.Conn {
	t.Helper()
	c, err := rtnl.DialCurrent()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// bridge makes a bridge that is up and returns its index.
func bridge(t *testing.T, c *rtnl.Conn) int {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br0"
	if err := c.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		t.Fatal(err)
	}
	l, err := c.Link("br0")
	if err != nil || l.Kind != "bridge" || l.Up {
		t.Fatalf("the bridge is %+v, %v", l, err)
	}
	if err := c.SetUp(l.Index); err != nil {
		t.Fatal(err)
	}
	return l.Index
}

func TestVethInAnotherNamespace(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		c := dial(t)
		br := bridge(t, c)
		ns, err := netns.New()
		if err != nil {
			t.Fatal(err)
		}
		defer ns.Close()
		mac := net.HardwareAddr{2, 0x42, 10, 0, 0, 2}
		host, peer, err := c.AddVeth(rtnl.Veth{Name: "veth0", Master: br, MTU: 1400, PeerName: "eth0", PeerMAC: mac, PeerNS: ns})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetAlias(host, "ctr mark"); err != nil {
			t.Fatal(err)
		}
		l, err := c.Link("veth0")
		if err != nil || l.Index != host || l.Master != br || l.MTU != 1400 || !l.Up || l.Alias != "ctr mark" || l.Kind != "veth" || l.Works {
			t.Errorf("the host's end is %+v, %v", l, err)
		}
		inside, err := rtnl.Dial(ns)
		if err != nil {
			t.Fatal(err)
		}
		defer inside.Close()
		p, err := inside.Link("eth0")
		if err != nil || p.Index != peer || p.MTU != 1400 || p.Up || p.MAC.String() != mac.String() {
			t.Errorf("the peer is %+v, %v, with index %d", p, err, peer)
		}
		if err := inside.AddAddr(peer, netip.MustParsePrefix("10.0.0.2/24")); err != nil {
			t.Fatal(err)
		}
		if err := inside.AddAddr(peer, netip.MustParsePrefix("10.0.0.2/24")); err != nil {
			t.Errorf("an address that is there: %v", err)
		}
		if err := inside.SetUp(peer); err != nil {
			t.Fatal(err)
		}
		for _, index := range []int{host, br} {
			if err := c.AwaitWorking(index); err != nil {
				t.Error(err)
			}
		}
		if l, err := c.Link("veth0"); err != nil || !l.Works {
			t.Errorf("with its peer up, the host's end is %+v, %v", l, err)
		}
		if err := inside.AddDefaultRoute(peer, netip.MustParseAddr("10.0.0.1"), netlink.FAMILY_V4); err != nil {
			t.Error(err)
		}
		if _, _, err := c.AddVeth(rtnl.Veth{Name: "veth0", Master: br, PeerName: "eth1", PeerNS: ns}); !errors.Is(err, unix.EEXIST) {
			t.Errorf("a name twice: %v", err)
		}
		// The master is set after the kernel has told of the link: its refusal must be seen.
		lo, err := c.Link("lo")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.AddVeth(rtnl.Veth{Name: "veth1", Master: lo.Index, PeerName: "eth1", PeerNS: ns}); err == nil {
			t.Error("lo has become a bridge")
		}
		if _, err := c.Link("veth1"); !errors.Is(err, rtnl.ErrNotFound) {
			t.Errorf("the refused pair is left: %v", err)
		}
		if err := c.Delete(host); err != nil {
			t.Error(err)
		}
		if err := c.Delete(host); err != nil {
			t.Errorf("a link that is gone: %v", err)
		}
		if _, err := inside.Link("eth0"); !errors.Is(err, rtnl.ErrNotFound) {
			t.Errorf("the peer of a deleted link: %v", err)
		}
	})
}

func TestAwaitLocal(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		c := dial(t)
		br := bridge(t, c)
		a := netip.MustParsePrefix("2001:db8::1/64")
		if err := c.AddAddr(br, a); err != nil {
			t.Fatal(err)
		}
		if err := c.AwaitLocal(a.Addr()); err != nil {
			t.Fatal(err)
		}
		routes, err := c.RouteGet(a.Addr().AsSlice())
		if err != nil || len(routes) != 1 || routes[0].Type != unix.RTN_LOCAL {
			t.Errorf("the route is %+v, %v", routes, err)
		}
	})
}
