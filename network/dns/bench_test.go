package dns

import (
	"net"
	"net/netip"
	"sync"
	"testing"

	"ctr/network/names"
)

// benchClients and benchWindow are those of dnsperf -c 4 -q 100: how many clients ask, and how many questions each has under
// way.
const (
	benchClients = 4
	benchWindow  = 25
)

// benchOwner is whose entries add makes.
const benchOwner = "0123456789ab"

// BenchmarkUDP compares answers about containers with a bare echo of the same datagrams over the same loopback device: the
// answer should reach at least 0.7 of the echo.
func BenchmarkUDP(b *testing.B) {
	b.Run("echo", func(b *testing.B) {
		ns := newNamespace(b)
		udp, tcp, err := Listen(ns)
		if err != nil {
			b.Fatal(err)
		}
		tcp.Close()
		go echo(udp)
		askUDP(b, ns, udp.LocalAddr().(*net.UDPAddr).AddrPort())
		udp.Close()
	})
	b.Run("answer", func(b *testing.B) {
		zone := names.Zone{Dir: b.TempDir()}
		add(b, zone, "db", "172.18.0.2")
		s := serve(b, Config{Networks: []Network{{Name: "mynet", Zone: zone.Dir, TTL: 5}}})
		askUDP(b, s.ns, s.udp)
	})
}

func echo(udp *net.UDPConn) {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		udp.WriteToUDPAddrPort(buf[:n], from)
	}
}

// askUDP sends b.N questions to the server and waits for as many datagrams.
func askUDP(b *testing.B, ns dialer, server netip.AddrPort) {
	question, err := newQuery("db", typeA)
	if err != nil {
		b.Fatal(err)
	}
	var clients sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for i := range benchClients {
		conn := dialUDP(b, ns, server)
		n := b.N/benchClients + min(1, b.N%benchClients*(benchClients-i)/benchClients)
		clients.Go(func() {
			buf := make([]byte, 512)
			for sent, got := 0, 0; got < n; {
				for sent < n && sent-got < benchWindow {
					if _, err := conn.Write(question); err != nil {
						b.Error(err)
						return
					}
					sent++
				}
				if _, err := conn.Read(buf); err != nil {
					b.Error(err)
					return
				}
				got++
			}
		})
	}
	clients.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "answers/s")
}

// BenchmarkAnswer is one answer without the sockets.
func BenchmarkAnswer(b *testing.B) {
	zone := names.Zone{Dir: b.TempDir()}
	add(b, zone, "db", "172.18.0.2")
	s := New(Config{Networks: []Network{{Name: "mynet", Zone: zone.Dir, TTL: 5}}}, nil)
	defer s.closeZones()
	question, err := newQuery("db", typeA)
	if err != nil {
		b.Fatal(err)
	}
	var q query
	var l lookups
	buf := make([]byte, 0, minPayload)
	b.ReportAllocs()
	for b.Loop() {
		l.reset()
		if answer, _ := s.answer(&q, &l, question, buf, 0); answer[7] != 1 {
			b.Fatalf("answer % x: want one record", answer)
		}
	}
}

func add(tb testing.TB, z names.Zone, name, addr string) {
	tb.Helper()
	if err := z.Add(name, netip.MustParseAddr(addr), owner(benchOwner)); err != nil {
		tb.Fatal(err)
	}
}
