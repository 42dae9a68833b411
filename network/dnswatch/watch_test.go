package dnswatch

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"ctr/internal/testhost"
	"ctr/network/netns"
)

var start = time.Unix(1000, 0)

// question makes a message that asks.
func question(id uint16, name string, kind dnsmessage.Type) []byte {
	return pack(dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}},
	})
}

// answer makes one that answers such a question with an address.
func answer(id uint16, name string, code dnsmessage.RCode, address ...byte) []byte {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, Response: true, RCode: code},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	if len(address) == 4 {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET},
			Body:   &dnsmessage.AResource{A: [4]byte(address)},
		}}
	}
	return pack(m)
}

func pack(m dnsmessage.Message) []byte {
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

// TestQuestions: answers find their questions by client and ID, whatever the order; what is never answered is told as well, and
// what is kept is bounded.
func TestQuestions(t *testing.T) {
	t.Parallel()
	open := questions{}
	var got []string
	found := func(q Question) {
		got = append(got, fmt.Sprintf("%s %v %v %d %v", q.Name, q.Answered, q.Code, len(q.Answers), q.Took))
	}
	client, server := netip.MustParseAddrPort("127.0.0.1:4000"), netip.MustParseAddrPort("127.0.0.11:40000")
	reply := netip.MustParseAddrPort("127.0.0.11:53")
	ask := func(at time.Duration, payload []byte) {
		open.take(packet{from: client, to: server, payload: payload}, start.Add(at), found)
	}
	tell := func(at time.Duration, to netip.AddrPort, payload []byte) {
		open.take(packet{from: reply, to: to, payload: payload}, start.Add(at), found)
	}
	ask(0, question(1, "a.", dnsmessage.TypeA))
	ask(0, question(2, "b.", dnsmessage.TypeA))
	ask(time.Second, question(1, "a.", dnsmessage.TypeA)) // once more
	ask(0, question(3, "silent.", dnsmessage.TypeA))
	ask(0, []byte("no message"))
	ask(0, []byte("fourteen bytes"))
	tell(time.Second, client, answer(9, "a.", 0, 1, 2, 3, 4))                                                                  // another ID
	tell(time.Second, netip.AddrPortFrom(client.Addr(), 4001), answer(1, "a.", 0, 1, 2, 3, 4))                                 // another client
	open.take(packet{tcp: true, from: reply, to: client, payload: append([]byte{0, 19}, answer(1, "a.", 0)...)}, start, found) // over TCP
	tell(2*time.Second, client, answer(2, "b.", dnsmessage.RCodeNameError))
	tell(3*time.Second, client, answer(1, "a.", 0, 1, 2, 3, 4))
	tell(3*time.Second, client, answer(1, "a.", 0, 1, 2, 3, 4)) // twice
	open.expire(start.Add(patience-1), found)
	open.expire(start.Add(patience), found)
	want := []string{"b. true RCodeNameError 0 2s", "a. true RCodeSuccess 1 3s", "silent. false RCodeSuccess 0 0s"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	for i := range 2 * maxOpen {
		open.take(packet{from: netip.AddrPortFrom(client.Addr(), uint16(i)), to: server, payload: question(1, "x.", 1)}, start, found)
	}
	if len(open) != maxOpen {
		t.Errorf("%d questions are remembered", len(open))
	}
}

// TestWatch: what is asked in a namespace is seen once, over all protocols and families, and nothing else.
func TestWatch(t *testing.T) {
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		ns, err := netns.Current()
		if err != nil {
			t.Fatal(err)
		}
		defer ns.Close()
		servers := []string{"127.0.0.11:40000", "127.0.0.1:53", "[::1]:53", "127.0.0.1:5353"}
		for _, address := range servers {
			serve(t, address)
		}
		w, err := Open(ns)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		for i, address := range servers {
			exchange(t, "udp", address, question(uint16(i), fmt.Sprintf("u%d.", i), dnsmessage.TypeA))
			exchange(t, "tcp", address, question(uint16(i), fmt.Sprintf("t%d.", i), dnsmessage.TypeA))
		}
		exchange(t, "udp", servers[1], question(99, "last.", dnsmessage.TypeA))
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		var got []string
		err = w.Run(ctx, func(q Question) error {
			got = append(got, strings.TrimSuffix(q.Name, ".")+"/"+q.Protocol+"/"+q.Server.String())
			if !q.Answered || q.Took <= 0 || len(q.Answers) != 1 {
				t.Errorf("%+v", q)
			}
			if q.Name == "last." {
				cancel()
			}
			return nil
		})
		want := "u0/udp/127.0.0.11 t0/tcp/127.0.0.11 u1/udp/127.0.0.1 t1/tcp/127.0.0.1 u2/udp/::1 t2/tcp/::1 last/udp/127.0.0.1"
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("got %q, %v\nwant %q", got, err, want)
		}
		if n := w.Missed(); n != 0 {
			t.Errorf("%d packets missed", n)
		}
	})
}

// serve answers every question with an address.
func serve(t *testing.T, address string) {
	t.Helper()
	reply := func(m []byte) []byte {
		var q dnsmessage.Message
		if q.Unpack(m) != nil {
			return nil
		}
		return answer(q.ID, q.Questions[0].Name.String(), 0, 192, 0, 2, 1)
	}
	udp, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close(); tcp.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = udp.WriteTo(reply(buf[:n]), from)
		}
	}()
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 512)
			n, _ := c.Read(buf)
			m := reply(buf[2:n])
			_, _ = c.Write(append([]byte{0, byte(len(m))}, m...))
			c.Close()
		}
	}()
}

// exchange asks and waits for the answer.
func exchange(t *testing.T, protocol, address string, message []byte) {
	t.Helper()
	c, err := net.Dial(protocol, address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if protocol == "tcp" {
		message = append([]byte{0, byte(len(message))}, message...)
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(message); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 512)); err != nil {
		t.Fatal(err)
	}
}
