package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// here runs functions in the namespace of the test itself.
type here struct{}

func (here) Do(f func() error) error { return f() }

// fakeServer is a name server for tests.
type fakeServer struct {
	addr    netip.AddrPort
	queries atomic.Int64
	mu      sync.Mutex
	ids     []uint16
	ports   []uint16
}

// handler returns the replies to a question: any number of datagrams, or of messages over TCP.
type handler func(q *mdns.Msg, tcp bool) [][]byte

// startServer runs a server at the address, in the namespace, until the test ends.
func startServer(tb testing.TB, ns dialer, addr string, h handler) *fakeServer {
	tb.Helper()
	f := &fakeServer{addr: netip.MustParseAddrPort(addr)}
	var udp *net.UDPConn
	var tcp *net.TCPListener
	err := ns.Do(func() (err error) {
		if udp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(f.addr)); err == nil {
			tcp, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(f.addr))
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	roomy(tb, udp)
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	running.Go(func() { f.serveUDP(udp, h) })
	running.Go(func() {
		for {
			c, err := tcp.AcceptTCP()
			if err != nil {
				return
			}
			running.Go(func() {
				defer context.AfterFunc(ctx, func() { c.Close() })()
				defer c.Close()
				f.serveConn(c, h)
			})
		}
	})
	tb.Cleanup(func() {
		cancel()
		udp.Close()
		tcp.Close()
		running.Wait()
	})
	return f
}

// roomy has a socket hold a thousand datagrams: those that come while a busy machine runs something else are not lost.
func roomy(tb testing.TB, c *net.UDPConn) {
	tb.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		tb.Fatal(err)
	}
	var failure error
	err = raw.Control(func(fd uintptr) {
		failure = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	})
	if err := errors.Join(err, failure); err != nil {
		tb.Fatal(err)
	}
}

func (f *fakeServer) serveUDP(udp *net.UDPConn, h handler) {
	buf := make([]byte, maxMessage)
	for {
		n, from, err := udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		var q mdns.Msg
		if q.Unpack(buf[:n]) != nil {
			continue
		}
		f.seen(&q, from.Port())
		for _, reply := range h(&q, false) {
			udp.WriteToUDPAddrPort(reply, from)
		}
	}
}

func (f *fakeServer) serveConn(c *net.TCPConn, h handler) {
	for {
		message, err := readFramed(c)
		var q mdns.Msg
		if err != nil || q.Unpack(message) != nil {
			return
		}
		f.seen(&q, c.RemoteAddr().(*net.TCPAddr).AddrPort().Port())
		for _, reply := range h(&q, true) {
			c.Write(framed(reply))
		}
	}
}

func (f *fakeServer) seen(q *mdns.Msg, port uint16) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queries.Add(1)
	f.ids = append(f.ids, q.Id)
	f.ports = append(f.ports, port)
}

func framed(message []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
}

func readFramed(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, message)
	return message, err
}

// Handlers.

func pack(m *mdns.Msg) [][]byte {
	packed, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return [][]byte{packed}
}

// says answers every question with the address.
func says(addr string) handler {
	return func(q *mdns.Msg, _ bool) [][]byte { return pack(withAddress(q, addr)) }
}

func withAddress(q *mdns.Msg, addr string) *mdns.Msg {
	m := new(mdns.Msg).SetReply(q)
	m.RecursionAvailable = true
	m.Answer = []mdns.RR{&mdns.A{
		Hdr: mdns.RR_Header{Name: q.Question[0].Name, Rrtype: mdns.TypeA, Class: mdns.ClassINET, Ttl: 77},
		A:   net.ParseIP(addr),
	}}
	return m
}

// fails answers every question with a code and nothing else.
func fails(code int) handler {
	return func(q *mdns.Msg, _ bool) [][]byte { return pack(new(mdns.Msg).SetRcode(q, code)) }
}

// silent answers nothing.
func silent(*mdns.Msg, bool) [][]byte { return nil }

// resolvConfOf writes a resolv.conf with the servers.
func resolvConfOf(tb testing.TB, servers ...string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "resolv.conf")
	writeResolvConf(tb, path, servers...)
	return path
}

func writeResolvConf(tb testing.TB, path string, servers ...string) {
	tb.Helper()
	var text strings.Builder
	text.WriteString("# of a test\nsearch example.com\noptions ndots:1\n")
	for _, s := range servers {
		text.WriteString("nameserver " + s + "\n")
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// exchange asks the resolver and returns the reply, and how long it took.
func (s served) exchange(tb testing.TB, m *mdns.Msg, tcp bool) (*mdns.Msg, time.Duration) {
	tb.Helper()
	packed, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	start := time.Now()
	var reply []byte
	if tcp {
		conn := dialTCP(tb, s.ns, s.tcp)
		defer conn.Close()
		conn.SetDeadline(start.Add(15 * time.Second))
		if _, err = conn.Write(framed(packed)); err == nil {
			reply, err = readFramed(conn)
		}
	} else {
		conn := dialUDP(tb, s.ns, s.udp)
		defer conn.Close()
		conn.SetDeadline(start.Add(15 * time.Second))
		reply = make([]byte, maxMessage)
		var n int
		if _, err = conn.Write(packed); err == nil {
			n, err = conn.Read(reply)
		}
		reply = reply[:n]
	}
	took := time.Since(start)
	var r mdns.Msg
	if err == nil {
		err = r.Unpack(reply)
	}
	if err != nil {
		tb.Fatalf("ask %v: %v", m.Question, err)
	}
	if r.Id != m.Id {
		tb.Errorf("ID %d of the reply, want %d", r.Id, m.Id)
	}
	return &r, took
}

// resolve asks for a name over UDP and returns the code and the data of the first record.
func (s served) resolve(tb testing.TB, name string) string {
	tb.Helper()
	r, _ := s.exchange(tb, ask(name, mdns.TypeA), false)
	return summary(r)
}

func summary(r *mdns.Msg) string {
	text := mdns.RcodeToString[r.Rcode]
	for _, rr := range r.Answer {
		text += " " + strings.TrimPrefix(rr.String(), rr.Header().String())
	}
	return text
}

func dialTCP(tb testing.TB, ns dialer, addr netip.AddrPort) *net.TCPConn {
	tb.Helper()
	var conn *net.TCPConn
	err := ns.Do(func() (err error) {
		conn, err = net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(addr))
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return conn
}
