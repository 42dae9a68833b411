package dns

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"ctr/internal/testhost"
	"ctr/network/names"
)

// TestServedExactly: what is answered over one socket, or one connection, follows the zone from question to question.
func TestServedExactly(t *testing.T) {
	z := names.Zone{Dir: filepath.Join(t.TempDir(), "names")}
	s := serve(t, Config{Networks: []Network{{Name: "n", Zone: z.Dir}}})
	u, c := dialUDP(t, s.ns, s.udp), dialTCP(t, s.ns, s.tcp)
	question := packed(t, ask("db", mdns.TypeA))
	check := func(want string) {
		t.Helper()
		u.SetDeadline(time.Now().Add(10 * time.Second))
		buf := make([]byte, minPayload)
		var m mdns.Msg
		if _, err := u.Write(question); err != nil {
			t.Fatal(err)
		}
		if n, err := u.Read(buf); err != nil || m.Unpack(buf[:n]) != nil || summary(&m) != want {
			t.Errorf("UDP: %v, %v: want %s", &m, err, want)
		}
		if _, err := c.Write(framed(question)); err != nil {
			t.Fatal(err)
		}
		if _, got := readReply(t, c); got != want {
			t.Errorf("TCP: %s, want %s", got, want)
		}
	}
	for range 3 {
		check("SERVFAIL")
		add(t, z, "db", "10.0.0.1")
		check("NOERROR 10.0.0.1")
		if err := z.RemoveOwner(benchOwner); err != nil {
			t.Fatal(err)
		}
	}
}

// TestManyClients: of questions that come at once, each client gets the reply to its own, whatever others send.
func TestManyClients(t *testing.T) {
	s := serve(t, Config{Networks: newZones(t)})
	names := []string{"db", "six", "a.b", "db.red", "shared"}
	noise := dialUDP(t, s.ns, s.udp)
	var clients []*net.UDPConn
	for range 10 * len(names) {
		clients = append(clients, dialUDP(t, s.ns, s.udp))
	}
	for round := range 20 {
		for i, c := range clients {
			m := ask(names[i%len(names)], mdns.TypeA)
			m.Id = uint16(100*round + i)
			if i%7 == 0 { // no query; too large for one; not even a header
				noise.Write([]byte{0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0})
				noise.Write(make([]byte, maxDatagram+1))
				noise.Write(nil)
			}
			if _, err := c.Write(packed(t, m)); err != nil {
				t.Fatal(err)
			}
		}
		for i, c := range clients {
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			buf := make([]byte, minPayload)
			n, err := c.Read(buf)
			var m mdns.Msg
			if err == nil {
				err = m.Unpack(buf[:n])
			}
			if err != nil || int(m.Id) != 100*round+i || m.Question[0].Name != names[i%len(names)]+"." {
				t.Fatalf("round %d, client %d: %v, %v", round, i, &m, err)
			}
		}
	}
	noise.SetReadDeadline(time.Now())
	if n, err := noise.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes for what is no query", n)
	}
}

// TestReconfigureWhileServing: no question is lost or answered wrongly while the configuration changes.
func TestReconfigureWhileServing(t *testing.T) {
	zones := newZones(t)
	s := serve(t, Config{Networks: zones})
	ctx, cancel := context.WithCancel(t.Context())
	var changing sync.WaitGroup
	changing.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			s.Reconfigure(Config{Networks: zones[:1+i%2]})
		}
	})
	defer changing.Wait()
	defer cancel()
	for i := range 500 {
		if r, _ := s.exchange(t, ask("db", mdns.TypeA), i%10 == 0); summary(r) != "NOERROR 172.18.0.2" {
			t.Fatalf("question %d: %v", i, r)
		}
	}
}

// TestEnd: a server ends at once when it is told to, whatever it is waiting for, and leaves nothing open.
func TestEnd(t *testing.T) {
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		upstream := startServer(t, here{}, "127.0.1.1:53", silent)
		ns := newNamespace(t)
		goroutines, files := runtime.NumGoroutine(), openFiles(t)
		udp, tcp, err := Listen(ns)
		if err != nil {
			t.Fatal(err)
		}
		s := New(Config{Networks: newZones(t), ResolvConf: resolvConfOf(t, "127.0.1.1")}, ns)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Serve(ctx, udp, tcp) }()
		running := served{Server: s, udp: udp.LocalAddr().(*net.UDPAddr).AddrPort(), tcp: tcp.Addr().(*net.TCPAddr).AddrPort()}
		running.resolve(t, "db")
		u, c, silent := dialUDP(t, ns, running.udp), dialTCP(t, ns, running.tcp), dialTCP(t, ns, running.tcp)
		u.Write(packed(t, ask("www.example", mdns.TypeA)))
		c.Write(framed(packed(t, ask("www.example", mdns.TypeA))))
		eventually(t, "questions arrive", func() bool { return upstream.queries.Load() == 2 })
		start := time.Now()
		cancel()
		if err := <-done; err != nil || time.Since(start) > upstreamTimeout/2 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		for _, conn := range []net.Conn{u, c, silent} {
			conn.Close()
		}
		eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
		eventually(t, "files are closed", func() bool { return openFiles(t) <= files })
	})
}

func openFiles(tb testing.TB) int {
	tb.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		tb.Fatal(err)
	}
	return len(list)
}

// TestSocketFails: a server whose socket is taken away says so.
func TestSocketFails(t *testing.T) {
	ns := newNamespace(t)
	udp, tcp, err := Listen(ns)
	if err != nil {
		t.Fatal(err)
	}
	udp.Close()
	if err := New(Config{}, ns).Serve(t.Context(), udp, tcp); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want %v", err, net.ErrClosed)
	}
}
