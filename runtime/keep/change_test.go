package keep

import (
	"io"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/network/dns"
	"ctr/network/netns"
	"ctr/network/ports"
)

// echo answers each connection with its own address, as a container would.
func echo(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, l.Addr().String())
			c.Close()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

// ask connects to a port and returns what comes.
func ask(t *testing.T, port uint16) (string, error) {
	t.Helper()
	c, err := net.DialTimeout("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))), 30*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	b, err := io.ReadAll(c)
	return string(b), err
}

// TestChange changes what a keeper serves, in more frames than one: ports come, lead elsewhere and go, and a resolver comes.
func TestChange(t *testing.T) {
	t.Parallel()
	k, path := testKeeper(t)
	ns, err := netns.Current()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	k.Serve(Services{NetNS: ns})
	one, two := echo(t), echo(t)

	const many = partForwards + 10
	wanted := make([]ports.Port, many)
	for i := range wanted {
		wanted[i] = ports.Port{Protocol: ports.TCP, HostIP: netip.MustParseAddr("127.0.0.1")}
	}
	held, err := ports.Hold(nil, wanted)
	if err != nil {
		t.Fatal(err)
	}
	next := Services{DNS: &dns.Config{}}
	for _, h := range held {
		next.Forwards = append(next.Forwards, ports.Forward{Held: h, Targets: []netip.AddrPort{one}})
	}
	if next.UDP, next.TCP, err = dns.Listen(ns); err != nil {
		t.Fatal(err)
	}
	server := next.TCP.Addr().String()
	if err := Change(path, next); err != nil {
		t.Fatal(err)
	}
	next.UDP.Close()
	next.TCP.Close()
	for _, h := range held {
		h.Close()
	}
	for _, h := range []*ports.Held{held[0], held[many-1]} {
		if got, err := ask(t, h.Port.HostPort); err != nil || got != one.String() {
			t.Errorf("port %d leads to %q, %v; want %s", h.Port.HostPort, got, err, one)
		}
	}
	c, err := net.Dial("tcp4", server)
	if err != nil {
		t.Errorf("the resolver does not serve: %v", err)
	} else {
		c.Close()
	}

	// The keeper has the sockets of the first port; the others go.
	next = Services{Forwards: []ports.Forward{{Held: &ports.Held{Port: held[0].Port}, Targets: []netip.AddrPort{two}}}}
	if err := Change(path, next); err != nil {
		t.Fatal(err)
	}
	if got, err := ask(t, held[0].Port.HostPort); err != nil || got != two.String() {
		t.Errorf("port leads to %q, %v; want %s", got, err, two)
	}
	if got, err := ask(t, held[1].Port.HostPort); err == nil {
		t.Errorf("a port that was given back still leads to %q", got)
	}
	if k.Services().DNS == nil {
		t.Error("the resolver has gone")
	}

	// What the keeper does not have cannot be named.
	next.Forwards = append(next.Forwards, ports.Forward{Held: &ports.Held{Port: held[1].Port}, Targets: []netip.AddrPort{two}})
	if err := Change(path, next); err == nil {
		t.Error("a port was served that nobody holds")
	}
	if got, err := ask(t, held[0].Port.HostPort); err != nil || got != two.String() {
		t.Errorf("after a change that was refused: %q, %v", got, err)
	}
}

// TestChangeMeetsSuspension changes what is served while the keeper is about to become another program: whoever comes at that
// moment is served by that one.
func TestChangeMeetsSuspension(t *testing.T) {
	t.Parallel()
	k, path := testKeeper(t)
	p := run(t, k, "exec sleep 1000")
	ns, err := netns.Current()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	k.Serve(Services{NetNS: ns})
	targets := []netip.AddrPort{echo(t), echo(t)}
	wanted := make([]ports.Port, 2*partForwards)
	for i := range wanted {
		wanted[i] = ports.Port{Protocol: ports.TCP, HostIP: netip.MustParseAddr("127.0.0.1")}
	}
	held, err := ports.Hold(nil, wanted)
	if err != nil {
		t.Fatal(err)
	}
	var first Services
	for _, h := range held {
		first.Forwards = append(first.Forwards, ports.Forward{Held: h, Targets: targets[:1]})
	}
	if err := Change(path, first); err != nil {
		t.Fatal(err)
	}
	for _, h := range held {
		h.Close()
	}
	changed := make(chan error)
	go func() {
		defer close(changed)
		for i := range 100 {
			var next Services
			for _, h := range held {
				next.Forwards = append(next.Forwards, ports.Forward{Held: &ports.Held{Port: h.Port}, Targets: targets[i%2 : i%2+1]})
			}
			if err := Change(path, next); err != nil {
				changed <- err
			}
		}
	}()
	for suspended := 0; ; {
		select {
		case err, more := <-changed:
			if err != nil {
				t.Errorf("after %d suspensions: %v", suspended, err)
			}
			if more {
				continue
			}
			if got, err := ask(t, held[0].Port.HostPort); err != nil || got != targets[1].String() {
				t.Errorf("port leads to %q, %v; want %s", got, err, targets[1])
			}
			_ = unix.Kill(p.Init.PID, unix.SIGKILL)
			finish(t, k, p)
			return
		default:
		}
		if _, ok := k.Suspend(true); ok {
			suspended++
			if err := k.Continue(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
