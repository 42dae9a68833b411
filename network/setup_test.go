package network_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ctr/internal/proc"
	"ctr/internal/testhost"
	"ctr/network"
	"ctr/network/netns"
)

// open returns the networks of the installation of a test's host.
func open(t testing.TB, root, run string) *network.Networks {
	t.Helper()
	n, err := network.Open(network.Config{
		Data: filepath.Join(root, "networks"), Run: filepath.Join(run, "networks"), Names: filepath.Join(root, "names/networks"),
		Tag: "0badcafe",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// container returns the sandbox spec of a container on networks.
func container(t testing.TB, run, name string, networks ...string) network.SandboxSpec {
	t.Helper()
	dir := filepath.Join(run, "containers", name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := network.SandboxSpec{
		ID: fmt.Sprintf("%064x", name), Name: name, Dir: dir, Record: filepath.Join(dir, "sandbox.json"),
	}
	s.ID = s.ID[:64]
	for _, n := range networks {
		s.Endpoints = append(s.Endpoints, network.EndpointSpec{Network: n})
	}
	return s
}

// setup sets a sandbox up and announces it, with the test itself as monitor and init.
func setup(t testing.TB, n *network.Networks, s network.SandboxSpec) *network.Sandbox {
	t.Helper()
	made, err := n.Setup(context.Background(), s, proc.Self(), nil, nil)
	if err != nil {
		t.Fatalf("set up %s: %v", s.Name, err)
	}
	t.Cleanup(func() { made.Close() })
	if err := made.Announce(proc.Self()); err != nil {
		t.Fatalf("announce %s: %v", s.Name, err)
	}
	return made
}

// run runs a command in the namespace, or in the host if it is nil, and returns its output.
func run(ns *netns.Handle, args ...string) (string, error) {
	var out []byte
	do := func() (err error) {
		out, err = exec.Command(args[0], args[1:]...).CombinedOutput()
		return err
	}
	if ns == nil {
		err := do()
		return string(out), err
	}
	err := ns.Do(do)
	return string(out), err
}

// must runs a command that has to succeed.
func must(t testing.TB, ns *netns.Handle, args ...string) string {
	t.Helper()
	out, err := run(ns, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// dial connects to an address of the namespace from another, where a listener waits, and returns the error of the try. A nil
// namespace is the host's.
func dial(t testing.TB, from, to *netns.Handle, address string, patience time.Duration) error {
	t.Helper()
	in := func(ns *netns.Handle, f func() error) error {
		if ns == nil {
			return f()
		}
		return ns.Do(f)
	}
	var l net.Listener
	err := in(to, func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(address, "0"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return in(from, func() error {
		c, err := net.DialTimeout("tcp", l.Addr().String(), patience)
		if err == nil {
			c.Close()
		}
		return err
	})
}

// silence is how long to wait for what is not to come, trust for what is.
const (
	silence = 500 * time.Millisecond
	trust   = 20 * time.Second
)

// reach fails unless a connection succeeds.
func reach(t testing.TB, from, to *netns.Handle, address string) {
	t.Helper()
	if err := dial(t, from, to, address, trust); err != nil {
		t.Errorf("reach %s: %v", address, err)
	}
}

// create makes a network.
func create(t testing.TB, n *network.Networks, s network.Spec) network.Spec {
	t.Helper()
	if !s.IPv6 {
		s.IPv4 = true
	}
	made, err := n.Create(context.Background(), s)
	if err != nil {
		t.Fatalf("create %s: %v", s.Name, err)
	}
	return made
}

// census counts what is in the host.
func census(t testing.TB, h *testhost.Host) testhost.Census {
	t.Helper()
	c, err := h.Census()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTwoContainersOnOneBridge(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		create(t, n, network.Spec{Name: "mynet"})
		before := census(t, h)
		a := setup(t, n, container(t, h.RunRoot, "a", "mynet"))
		b := setup(t, n, container(t, h.RunRoot, "b", "mynet"))
		if got := b.Record.Endpoints[0].IPv4; got != netip.MustParsePrefix("172.18.0.3/16") {
			t.Errorf("the second container has %s", got)
		}
		reach(t, a.NetNS, b.NetNS, "172.18.0.3")
		reach(t, b.NetNS, a.NetNS, "172.18.0.2")
		reach(t, b.NetNS, nil, "172.18.0.1")
		if got := must(t, nil, "ip", "netns", "list"); !strings.Contains(got, "a (id:") {
			t.Errorf("ip netns list: %q", got)
		}
		if got, want := must(t, nil, "ip", "netns", "exec", "a", "ip", "-o", "link"), must(t, a.NetNS, "ip", "-o", "link"); got != want {
			t.Errorf("ip netns exec shows\n%s\nand the namespace has\n%s", got, want)
		}
		if got := must(t, a.NetNS, "ip", "-o", "addr", "show", "eth0"); !strings.Contains(got, "172.18.0.2/16") || strings.Contains(got, "inet6") {
			t.Errorf("addresses of eth0: %s", got)
		}
		if got := must(t, a.NetNS, "ip", "link", "show", "eth0"); !strings.Contains(got, "02:42:ac:12:00:02") {
			t.Errorf("eth0: %s", got)
		}
		for _, s := range []*network.Sandbox{a, b} {
			if err := n.Teardown(s.Record.Spec.Record); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		os.RemoveAll(filepath.Join(h.RunRoot, "containers"))
		settled(t, func() string { return census(t, h).Diff(before) })
	})
}

// settled waits until the kernel has taken down what it takes down in the background, and fails if something is left.
func settled(t *testing.T, diff func() string) {
	t.Helper()
	var d string
	for range 200 {
		if d = diff(); d == "" {
			return
		}
		must(t, nil, "sleep", "0.01")
	}
	t.Errorf("left behind:\n%s", d)
}
