package network_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/internal/proc"
	"ctr/internal/testhost"
	"ctr/network"
	"ctr/network/netns"
)

// A sandbox whose owner was killed belongs to another one: its resolver, its ports but for what somebody else has by now, its
// leases, its name for ip-netns(8); and that takes all of it down.
func TestAdopt(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		create(t, n, network.Spec{Name: "mynet"})
		down(t, n, setup(t, n, container(t, h.RunRoot, "first", "mynet"))) // makes what is made once
		settled(t, func() string { out, _ := run(nil, "ip", "-o", "link", "show", "type", "veth"); return out })
		before := census(t, h)
		s := container(t, h.RunRoot, "orphan", "mynet")
		s.Ports = []network.Port{
			{Protocol: network.TCP, HostPort: 8080, ContainerPort: 80}, {Protocol: network.TCP, HostPort: 8081, ContainerPort: 81},
		}
		owner := sleeper(t, nil)
		made, err := n.Setup(context.Background(), s, owner, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		init := sleeper(t, made.NetNS)
		if err := made.Announce(init); err != nil {
			t.Fatal(err)
		}
		address := made.Record.Endpoints[0].IPv4.Addr()
		if err := made.Close(); err != nil {
			t.Fatal(err)
		}
		end(t, owner)
		thief, err := net.Listen("tcp", ":8081")
		if err != nil {
			t.Fatal(err)
		}
		defer thief.Close()

		adopted, err := n.Adopt(s.Record, proc.Self())
		if err != nil {
			t.Fatal(err)
		}
		if r := adopted.Record; r.Owner != proc.Self() || len(r.Ports) != 1 || len(adopted.Ports) != 1 || r.Ports[0].HostPort != 8080 {
			t.Errorf("the record says %+v", r)
		}
		if len(adopted.Warnings) != 1 || !strings.Contains(adopted.Warnings[0], "81/tcp of orphan is not published any more") {
			t.Errorf("warnings: %q", adopted.Warnings)
		}
		if rules, _ := run(nil, "nft", "list", "ruleset"); !strings.Contains(rules, "8080") || strings.Contains(rules, "8081") {
			t.Errorf("rules:\n%s", rules)
		}
		if _, err := net.Listen("tcp", ":8080"); err == nil {
			t.Error("nobody holds the port")
		}
		if got, err := run(nil, "ip", "netns", "exec", "orphan", "ip", "-o", "-4", "addr", "show", "dev", "eth0"); err != nil || !strings.Contains(got, address.String()) {
			t.Errorf("ip netns exec: %v: %s", err, got)
		}
		asked := askAt(t, adopted.NetNS, adopted.DNSUDP)
		if asked != "a question" {
			t.Errorf("the resolver heard %q", asked)
		}
		down(t, n, adopted)
		end(t, init)
		thief.Close()
		if err := os.RemoveAll(s.Dir); err != nil {
			t.Fatal(err)
		}
		settled(t, func() string { return census(t, h).Diff(before) })
		// It is gone: nobody adopts it again.
		if _, err := n.Adopt(s.Record, proc.Self()); err == nil {
			t.Error("adopted what is gone")
		}
	})
}

// askAt sends a datagram to 127.0.0.11:53 in the namespace, and returns what comes to the socket of its resolver.
func askAt(t *testing.T, ns *netns.Handle, resolver *net.UDPConn) string {
	t.Helper()
	var c net.Conn
	if err := ns.Do(func() (err error) {
		c, err = net.Dial("udp", "127.0.0.11:53")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("a question")); err != nil {
		t.Fatal(err)
	}
	if err := resolver.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	k, err := resolver.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:k])
}

// sleeper starts a process, in the namespace unless that is nil.
func sleeper(t *testing.T, ns *netns.Handle) proc.ID {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	start := cmd.Start
	if ns != nil {
		start = func() error { return ns.Do(cmd.Start) }
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	go cmd.Wait()
	t.Cleanup(func() { cmd.Process.Kill() })
	id, err := proc.Of(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// end kills a process and waits until it has ended.
func end(t *testing.T, id proc.ID) {
	t.Helper()
	if err := id.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	settled(t, func() string {
		if id.Alive() {
			return "it lives"
		}
		return ""
	})
}
