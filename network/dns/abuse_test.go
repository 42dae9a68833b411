package dns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
)

func packed(tb testing.TB, m *mdns.Msg) []byte {
	tb.Helper()
	p, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// readReply reads one reply from a connection and returns its ID and summary.
func readReply(tb testing.TB, c net.Conn) (uint16, string) {
	tb.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	message, err := readFramed(c)
	var m mdns.Msg
	if err == nil {
		err = m.Unpack(message)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return m.Id, summary(&m)
}

// TestConnection: one connection carries many questions, in any pieces.
func TestConnection(t *testing.T) {
	s := serve(t, Config{Networks: newZones(t)})
	conn := dialTCP(t, s.ns, s.tcp)
	var stream []byte
	const count = 50
	for i := range count {
		m := ask("db", mdns.TypeA)
		m.Id = uint16(i)
		stream = append(stream, framed(packed(t, m))...)
	}
	half := len(stream) / 2
	if _, err := conn.Write(stream[:half]); err != nil { // pipelined
		t.Fatal(err)
	}
	for _, b := range stream[half : half+60] { // in the smallest pieces
		if _, err := conn.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Write(stream[half+60:]); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil { // who has asked everything still gets every reply
		t.Fatal(err)
	}
	for i := range count {
		if id, got := readReply(t, conn); id != uint16(i) || got != "NOERROR 172.18.0.2" {
			t.Errorf("reply %d: ID %d, %q", i, id, got)
		}
	}
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after the last reply: %d, %v", n, err)
	}
}

// TestConnectionEnds: who talks no DNS is not talked to.
func TestConnectionEnds(t *testing.T) {
	s := serve(t, Config{Networks: newZones(t)})
	reply := ask("db", mdns.TypeA)
	reply.Response = true
	for name, bytes := range map[string][]byte{
		"nothing":       {0, 0},
		"short":         {0, 3, 1, 2, 3},
		"large":         {0xff, 0xff},
		"reply":         framed(packed(t, reply)),
		"HTTP":          []byte("GET / HTTP/1.0\r\n\r\n"),
		"cut and ended": {0},
	} {
		conn := dialTCP(t, s.ns, s.tcp)
		if _, err := conn.Write(bytes); err != nil {
			t.Fatal(err)
		}
		if name == "cut and ended" {
			conn.CloseWrite()
		}
		conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		// A reset comes instead of an end if the server has not read everything.
		if n, err := conn.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
	}
}

// TestConnectionForwards: a slow server holds up its own questions only, on the same connection too.
func TestConnectionForwards(t *testing.T) {
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		release := make(chan struct{})
		startServer(t, here{}, "127.0.1.1:53", func(q *mdns.Msg, _ bool) [][]byte {
			<-release
			return pack(withAddress(q, "192.0.2.1"))
		})
		s := serve(t, Config{Networks: newZones(t), ResolvConf: resolvConfOf(t, "127.0.1.1")})
		conn := dialTCP(t, s.ns, s.tcp)
		send := func(name string, id uint16) {
			m := ask(name, mdns.TypeA)
			m.Id = id
			if _, err := conn.Write(framed(packed(t, m))); err != nil {
				t.Fatal(err)
			}
		}
		send("www.example", 1)
		send("db", 2)
		if id, got := readReply(t, conn); id != 2 || got != "NOERROR 172.18.0.2" {
			t.Errorf("own name behind a slow one: ID %d, %q", id, got)
		}
		const count = 3 * maxPipelined
		for i := range count {
			send("www.example", uint16(100+i))
		}
		conn.CloseWrite()
		close(release)
		seen := map[uint16]bool{}
		for range count + 1 {
			id, got := readReply(t, conn)
			if seen[id] = true; got != "NOERROR 192.0.2.1" {
				t.Errorf("ID %d: %q", id, got)
			}
		}
		if len(seen) != count+1 {
			t.Errorf("%d different replies, want %d", len(seen), count+1)
		}
	})
}

// TestIdleConnections: clients that connect and are silent, send half a question, or never read a reply take nothing from
// others, and what they hold is bounded.
func TestIdleConnections(t *testing.T) {
	s := serve(t, Config{Networks: newZones(t)})
	s.answers(t)
	before := runtime.NumGoroutine()
	var idle []*net.TCPConn
	for i := range 200 {
		conn := dialTCP(t, s.ns, s.tcp)
		if i%2 == 0 {
			conn.Write([]byte{0, 40, 1, 2}) // half a question
		}
		idle = append(idle, conn)
	}
	deaf := dialTCP(t, s.ns, s.tcp)
	deaf.SetReadBuffer(2048)
	deaf.SetWriteDeadline(time.Now().Add(time.Second)) // which passes once the server waits for the client
	many := framed(packed(t, ask("web", mdns.TypeA)))
	for err := error(nil); err == nil; {
		_, err = deaf.Write(many)
	}
	s.answers(t)
	if n := runtime.NumGoroutine() - before; n > maxConns+10 {
		t.Errorf("%d goroutines for %d connections", n, len(idle))
	}
	deaf.Close()
	for _, conn := range idle {
		conn.Close()
	}
	eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before+2 })
}

// TestResets: a thousand clients that break off in the middle cost nothing afterwards.
func TestResets(t *testing.T) {
	s := serve(t, Config{Networks: newZones(t)})
	s.answers(t)
	before := runtime.NumGoroutine()
	for i := range 1000 {
		conn := dialTCP(t, s.ns, s.tcp)
		conn.Write([]byte{0, 40, 1, 2}[:1+i%4])
		conn.SetLinger(0)
		conn.Close()
	}
	s.answers(t)
	eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before+2 })
	eventually(t, "it takes no processor in 200 ms of silence", func() bool {
		used := cpuTime(t)
		timer := time.NewTimer(200 * time.Millisecond)
		<-timer.C
		return cpuTime(t)-used < 50*time.Millisecond
	})
}

// answers asks a few times for a container's name, over both protocols, and is not kept waiting. It looks at the median, since the
// machine may be busy with something else for a moment.
func (s served) answers(tb testing.TB) {
	tb.Helper()
	for _, tcp := range []bool{false, true} {
		var times []time.Duration
		for range 5 {
			r, took := s.exchange(tb, ask("db", mdns.TypeA), tcp)
			if times = append(times, took); summary(r) != "NOERROR 172.18.0.2" {
				tb.Errorf("TCP %v: %v", tcp, r)
			}
		}
		if m := median(times); m > upstreamTimeout/4 {
			tb.Errorf("TCP %v: own name took %v", tcp, m)
		}
	}
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func eventually(tb testing.TB, what string, f func() bool) {
	tb.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); runtime.Gosched() {
		if time.Now().After(end) {
			buf := make([]byte, 1<<16)
			tb.Fatalf("%s: not within 10 s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
	}
}

// TestOverload: two thousand questions, of which the first server is dead, leave the containers' names alone, and hold a bounded
// number of places; what is too much is refused at once, and the rest is answered by the second server.
func TestOverload(t *testing.T) {
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		startServer(t, here{}, "127.0.1.1:53", silent)
		startServer(t, here{}, "127.0.1.2:53", says("192.0.2.2"))
		s := serve(t, Config{Networks: newZones(t), ResolvConf: resolvConfOf(t, "127.0.1.1", "127.0.1.2")})
		conn := dialUDP(t, s.ns, s.udp)
		roomy(t, conn)
		conn.SetDeadline(time.Now().Add(upstreamTimeout)) // all of it while the server is being waited for
		own := ask("db", mdns.TypeA)
		own.Id = 0xffff
		refused := 0
		var times []time.Duration
		buf := make([]byte, minPayload)
		for i := range 2000 {
			m := ask(fmt.Sprintf("n%d.example", i), mdns.TypeA)
			m.Id = uint16(i)
			if _, err := conn.Write(packed(t, m)); err != nil {
				t.Fatal(err)
			}
			if i%50 < 49 {
				continue
			}
			start := time.Now()
			if _, err := conn.Write(packed(t, own)); err != nil {
				t.Fatal(err)
			}
			for {
				n, err := conn.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				if binary.BigEndian.Uint16(buf) == own.Id {
					var r mdns.Msg
					if err := r.Unpack(buf[:n]); err != nil || summary(&r) != "NOERROR 172.18.0.2" {
						t.Errorf("own name: %v, %v", &r, err)
					}
					times = append(times, time.Since(start))
					break
				}
				if buf[3]&maskCode != codeRefused {
					t.Errorf("forwarded: % x", buf[:n])
				}
				refused++
			}
		}
		if refused != 2000-maxForwards {
			t.Errorf("%d questions refused, want %d", refused, 2000-maxForwards)
		}
		if m := median(times); m > 200*time.Millisecond {
			t.Errorf("own name took %v", m)
		}
		t.Logf("own name took %v, at worst %v", median(times), times[len(times)-1])
		if n := runtime.NumGoroutine(); n > maxForwards+50 {
			t.Errorf("%d goroutines", n)
		}
		conn.SetDeadline(time.Now().Add(3 * upstreamTimeout))
		for i := range maxForwards {
			n, err := conn.Read(buf)
			var r mdns.Msg
			if err == nil {
				err = r.Unpack(buf[:n])
			}
			if err != nil || summary(&r) != "NOERROR 192.0.2.2" {
				t.Fatalf("answer %d of the second server: %v, %v", i, &r, err)
			}
		}
		eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() < 50 })
	})
}
