package network_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ctr/internal/testhost"
	"ctr/network"
	"ctr/network/names"
)

// edit takes hold of a sandbox and notes what the keeper is told.
func edit(t *testing.T, n *network.Networks, s network.SandboxSpec, tell func(*network.Sandbox) error) *network.Live {
	t.Helper()
	l, err := n.Edit(s.Record, tell)
	if err != nil {
		t.Fatalf("edit %s: %v", s.Name, err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// TestLiveConnect connects a container that runs, and has the keeper fail at the first try: nothing of that may stay.
func TestLiveConnect(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		for _, name := range []string{"one", "two"} {
			if _, err := n.Create(context.Background(), network.Spec{Name: name, Driver: "bridge", IPv4: true, IPv6: true}); err != nil {
				t.Fatal(err)
			}
		}
		two, err := n.Find("two")
		if err != nil {
			t.Fatal(err)
		}
		s := container(t, h.RunRoot, "web", "one")
		s.Ports = []network.Port{{Protocol: network.TCP, HostPort: 8080, ContainerPort: 80}}
		box := setup(t, n, s)
		before, err := os.ReadFile(s.Record)
		if err != nil {
			t.Fatal(err)
		}
		leases := filepath.Join(h.RunRoot, "networks", two.ID, "leases")
		zone := names.Zone{Dir: filepath.Join(h.RunRoot, "networks", two.ID, "names")}

		broken := errors.New("the keeper does not listen")
		fail := true
		var told *network.Sandbox
		l := edit(t, n, s, func(s *network.Sandbox) error {
			if told = s; fail {
				return broken
			}
			return nil
		})
		if err := l.Connect(context.Background(), network.EndpointSpec{Network: "two"}); !errors.Is(err, broken) {
			t.Fatalf("connect with a keeper that does not listen: %v", err)
		}
		if entries, err := os.ReadDir(leases); err != nil || len(entries) > 0 {
			t.Errorf("a connection that failed leaves leases: %v, %v", entries, err)
		}
		if out := must(t, box.NetNS, "ip", "-o", "link"); strings.Contains(out, "eth1") {
			t.Errorf("a connection that failed leaves an interface:\n%s", out)
		}
		if after, err := os.ReadFile(s.Record); err != nil || len(l.Record.Endpoints) != 1 || string(after) != string(before) {
			t.Errorf("a connection that failed leaves a record of it, %v:\n%s\nwant\n%s", err, after, before)
		}

		fail = false
		if err := l.Connect(context.Background(), network.EndpointSpec{Network: "two", GwPriority: 1}); err != nil {
			t.Fatal(err)
		}
		if len(told.DNS.Networks) != 2 || told.DNS.Networks[0].Name != "two" {
			t.Errorf("the resolver is told of %+v", told.DNS.Networks)
		}
		e := l.Record.Endpoints[1]
		if got := told.Forwards()[0].Targets[0].Addr(); got != e.IPv4.Addr() {
			t.Errorf("published ports lead to %s, want %s", got, e.IPv4.Addr())
		}
		if found, _, err := zone.Lookup("web"); err != nil || len(found) != 2 {
			t.Errorf("web is %v, %v on its new network", found, err)
		}
		for _, family := range []string{"-4", "-6"} {
			if out := must(t, box.NetNS, "ip", family, "route", "show", "default"); strings.Count(out, "default") != 1 || !strings.Contains(out, "dev eth1") {
				t.Errorf("default routes after connect: %s", out)
			}
		}
		if out := must(t, nil, "nft", "list", "ruleset"); !strings.Contains(out, e.IPv4.Addr().String()+" . 80") {
			t.Errorf("the rules do not lead to %s:\n%s", e.IPv4.Addr(), out)
		}

		if err := l.Disconnect(two); err != nil {
			t.Fatal(err)
		}
		if _, exists, err := zone.Lookup("web"); err != nil || exists {
			t.Errorf("web is still known on a network that it has left: %v", err)
		}
		if out := must(t, box.NetNS, "ip", "-o", "link"); strings.Contains(out, "eth1") {
			t.Errorf("disconnect leaves an interface:\n%s", out)
		}
		if out := must(t, nil, "nft", "list", "ruleset"); strings.Contains(out, e.IPv4.Addr().String()) {
			t.Errorf("disconnect leaves rules:\n%s", out)
		}
		if err := l.Disconnect(two); err == nil || !strings.Contains(err.Error(), "is not connected to network two") {
			t.Errorf("disconnect twice: %v", err)
		}
		l.Close()
		if err := n.Teardown(s.Record); err != nil {
			t.Fatal(err)
		}
	})
}

// TestLivePublish publishes a port that cannot be had beside one that can: neither may stay.
func TestLivePublish(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		s := container(t, h.RunRoot, "web", "bridge")
		s.Ports = []network.Port{{Protocol: network.TCP, HostPort: 8080, ContainerPort: 80}}
		setup(t, n, s)
		before := must(t, nil, "nft", "list", "ruleset")
		l := edit(t, n, s, func(*network.Sandbox) error { return nil })
		port := func(number uint16) network.Port {
			return network.Port{Protocol: network.TCP, HostPort: number, ContainerPort: 80}
		}
		if err := l.Publish([]network.Port{port(8081), port(8080)}); err == nil {
			t.Error("a port was published twice")
		}
		if after := must(t, nil, "nft", "list", "ruleset"); after != before || !slices.Equal(l.Record.Ports, []network.Port{port(8080)}) {
			t.Errorf("a port that cannot be published leaves %v:\n%s", l.Record.Ports, after)
		}
		if err := l.Publish([]network.Port{port(8081)}); err != nil {
			t.Fatal(err)
		}
		gone, err := l.Unpublish(func(p network.Port) bool { return p.HostPort == 8080 })
		if err != nil || !slices.Equal(gone, []network.Port{port(8080)}) || !slices.Equal(l.Record.Ports, []network.Port{port(8081)}) {
			t.Errorf("unpublished %v, %v; left are %v", gone, err, l.Record.Ports)
		}
		if gone, err = l.Unpublish(func(network.Port) bool { return true }); err != nil || len(gone) != 1 || len(l.Record.Ports) != 0 {
			t.Errorf("unpublished %v, %v; left are %v", gone, err, l.Record.Ports)
		}
		if after := must(t, nil, "nft", "list", "ruleset"); strings.Contains(after, "808") {
			t.Errorf("ports that were given back leave rules:\n%s", after)
		}
		l.Close()
		if err := n.Teardown(s.Record); err != nil {
			t.Fatal(err)
		}
	})
}
