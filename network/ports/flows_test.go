package ports

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
)

// flowing is a proxy of one UDP port, which the test turns itself.
type flowing struct {
	*proxy
	held *Held
	t    *testing.T
}

func newFlowing(t *testing.T) flowing {
	t.Helper()
	held, err := Hold(nil, []Port{{Protocol: UDP, HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 5555}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { held[0].Close() })
	p, err := newProxy(t.Context(), []Forward{{Held: held[0], Targets: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.2:53")}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return flowing{p, held[0], t}
}

// client makes the n-th one, which has sent a datagram.
func (f flowing) client(n int) netip.AddrPort {
	f.t.Helper()
	from := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(20000+n))
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(from), net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:5555")))
	if err == nil {
		defer c.Close()
		_, err = c.Write([]byte("?"))
	}
	if err != nil {
		f.t.Fatal(err)
	}
	fd := int(f.held.Files[0].Fd())
	f.ready[fd]()
	return from
}

// has tells whether a client has a flow.
func (f flowing) has(client netip.AddrPort) bool {
	for key := range f.flows {
		if key.client == client {
			return true
		}
	}
	return false
}

// TestIdleFlows: a flow ends when no packet has used it for flowTimeout, and gives its socket back.
func TestIdleFlows(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		f := newFlowing(t)
		client := f.client(0)
		begun := time.Now()
		if f.sweep(begun.Add(flowTimeout - time.Second)); !f.has(client) || !f.held.Busy() {
			t.Error("a flow has ended before its time")
		}
		if f.sweep(begun.Add(2 * flowTimeout)); f.has(client) || f.held.Busy() || len(f.ready) != 1 {
			t.Errorf("an idle flow stays, %d sockets", len(f.ready))
		}
	})
}

// TestManyFlows: of more clients than maxFlows those that were silent the longest lose theirs.
func TestManyFlows(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		f := newFlowing(t)
		first, second := f.client(0), f.client(1)
		for i := range maxFlows - 1 {
			f.client(2 + i)
		}
		if len(f.flows) != maxFlows || f.has(first) || !f.has(second) {
			t.Errorf("%d flows, of the first client: %v, of the second: %v", len(f.flows), f.has(first), f.has(second))
		}
		if len(f.ready) != maxFlows+1 {
			t.Errorf("%d sockets for %d flows", len(f.ready), len(f.flows))
		}
	})
}

// TestSet: a port that goes, or leads elsewhere, ends its connections and flows; those of others go on.
func TestSet(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		var addrs []netip.AddrPort
		for _, text := range []string{"127.0.0.2:80", "127.0.0.3:80"} {
			addrs = append(addrs, netip.MustParseAddrPort(text))
			tellName(t, text)
		}
		local := netip.MustParseAddr("127.0.0.1")
		var list []Port
		for _, number := range []uint16{8080, 8081} {
			for _, protocol := range []Protocol{TCP, UDP} {
				list = append(list, Port{Protocol: protocol, HostIP: local, HostPort: number})
			}
		}
		held, err := Hold(nil, list)
		if err != nil {
			t.Fatal(err)
		}
		to := func(target int, list ...*Held) (all []Forward) {
			for _, h := range list {
				all = append(all, Forward{Held: h, Targets: addrs[target : target+1]})
			}
			return all
		}
		s := NewServer()
		done := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- s.Serve(ctx, to(0, held...)...) }()
		defer func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if err := s.Set(nil); !errors.Is(err, ErrEnded) {
				t.Errorf("set after the end: %v", err)
			}
		}()
		set := func(forwards []Forward) {
			t.Helper()
			if err := s.Set(forwards); err != nil {
				t.Fatal(err)
			}
		}
		tcp, udp := newTalk(t, "tcp", 8080), newTalk(t, "udp", 8080)
		other, otherUDP := newTalk(t, "tcp", 8081), newTalk(t, "udp", 8081)
		for _, c := range []talk{tcp, udp, other, otherUDP} {
			c.hears("127.0.0.2:80")
		}
		// Elsewhere.
		set(append(to(1, held[:2]...), to(0, held[2:]...)...))
		tcp.ends()
		udp.hears("127.0.0.3:80")
		tcp = newTalk(t, "tcp", 8080)
		tcp.hears("127.0.0.3:80")
		other.hears("127.0.0.2:80")
		otherUDP.hears("127.0.0.2:80")
		// Nowhere.
		set(to(0, held[2:]...))
		tcp.ends()
		for deadline := time.Now().Add(30 * time.Second); held[0].Busy() || held[1].Busy(); runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatal("a port that is served no more is busy")
			}
		}
		other.hears("127.0.0.2:80")
		otherUDP.hears("127.0.0.2:80")
	})
}

// tellName answers each message to an address with the address.
func tellName(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	u, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); u.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for b := make([]byte, 1); ; {
					if _, err := c.Read(b); err != nil {
						return
					}
					_, _ = c.Write([]byte(address))
				}
			}()
		}
	}()
	go func() {
		for b := make([]byte, 1); ; {
			_, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = u.WriteTo([]byte(address), from)
		}
	}()
}

// talk is a client that stays.
type talk struct {
	net.Conn
	t *testing.T
}

func newTalk(t *testing.T, network string, port uint16) talk {
	t.Helper()
	c, err := net.Dial(network, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return talk{c, t}
}

// hears asks and wants an answer.
func (c talk) hears(want string) {
	c.t.Helper()
	_, err := c.Write([]byte("?"))
	b := make([]byte, 64)
	n := 0
	if err == nil {
		n, err = c.Read(b)
	}
	if string(b[:n]) != want {
		c.t.Errorf("%s client of %s hears %q, %v, want %q", c.RemoteAddr().Network(), c.RemoteAddr(), b[:n], err, want)
	}
}

// ends wants the connection reset.
func (c talk) ends() {
	c.t.Helper()
	if n, err := c.Read(make([]byte, 64)); !errors.Is(err, unix.ECONNRESET) {
		c.t.Errorf("%d bytes, %v, want the connection reset", n, err)
	}
}
