package firewall_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"ctr/internal/testhost"
	"ctr/network/firewall"
	"ctr/network/netns"
)

const resolver = "127.0.0.11:53"

// resolverLab is a namespace in which the address of the resolver leads to two servers that send back what they get.
type resolverLab struct {
	udp net.PacketConn
	tcp net.Listener
}

func newResolverLab(t *testing.T) *resolverLab {
	t.Helper()
	var l resolverLab
	l.listen(t)
	return &l
}

// listen makes new servers, on other ports, and leads questions to them. The rules are those of this namespace.
func (l *resolverLab) listen(t *testing.T) {
	t.Helper()
	var err error
	l.udp, err = net.ListenPacket("udp4", "127.0.0.11:0")
	must(t, err)
	t.Cleanup(func() { l.udp.Close() })
	l.tcp, err = net.Listen("tcp4", "127.0.0.11:0")
	must(t, err)
	t.Cleanup(func() { l.tcp.Close() })
	go func(u net.PacketConn) {
		b := make([]byte, 64<<10)
		for {
			n, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = u.WriteTo(b[:n], from)
		}
	}(l.udp)
	go func(tcp net.Listener) {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				c.Close()
			}()
		}
	}(l.tcp)
	ns, err := netns.Current()
	must(t, err)
	defer ns.Close()
	udp, ok1 := l.udp.LocalAddr().(*net.UDPAddr)
	tcp, ok2 := l.tcp.Addr().(*net.TCPAddr)
	if !ok1 || !ok2 {
		t.Fatal("sockets without addresses")
	}
	must(t, firewall.RedirectDNS(ns, uint16(udp.Port), uint16(tcp.Port)))
}

// asks sends a message to the resolver's address and tells what comes of it.
func asks(t *testing.T, network string, size int) error {
	t.Helper()
	c, err := net.DialTimeout(network, resolver, trust)
	if err != nil {
		return err
	}
	defer c.Close()
	return echoed(c, size)
}

func echoed(c net.Conn, size int) error {
	message := []byte(strings.Repeat("question", size/8+1))[:size]
	if err := c.SetDeadline(time.Now().Add(3 * trust)); err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() {
		_, err := c.Write(message)
		failed <- err
	}()
	answer := make([]byte, size)
	if _, err := io.ReadFull(c, answer); err != nil {
		return err
	}
	if string(answer) != string(message) {
		return errors.New("another answer")
	}
	return <-failed
}

// Questions of all sizes come back from the address that was asked, and no connection is tracked for it.
func TestRedirectDNS(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		newResolverLab(t)
		for _, size := range []int{1, 40, 512, 1500, 20_000} {
			for _, network := range []string{"udp", "tcp"} {
				if err := asks(t, network, size); err != nil {
					t.Errorf("%d bytes over %s: %v", size, network, err)
				}
			}
		}
		if err := asks(t, "tcp", 1<<20); err != nil {
			t.Errorf("a megabyte over TCP: %v", err)
		}
		count, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
		if err == nil && strings.TrimSpace(string(count)) != "0" {
			t.Errorf("%s connections are tracked", count)
		}
	})
}

// What the container has on port 53 is its own.
func TestContainersOwnServer(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		node{name: "own"}.serve(t, 53)
		newResolverLab(t)
		for _, network := range []string{"udp", "tcp"} {
			for _, address := range []string{"127.0.0.1", "::1"} {
				if got := (node{}).askFor(trust, network, net.JoinHostPort(address, "53")); got != "own "+address {
					t.Errorf("%s over %s answers %q", address, network, got)
				}
			}
			if err := asks(t, network, 40); err != nil {
				t.Errorf("the resolver over %s: %v", network, err)
			}
		}
	})
}

// A container's own rules see questions to port 53, and answers that belong to them.
func TestResolverBehindOwnRules(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		run(t, "nft", `table inet own {
			chain input { type filter hook input priority filter; policy drop; ct state invalid drop; ct state established,related accept; iif lo ct state new accept; }
			chain output { type filter hook output priority filter; policy drop; ct state invalid drop; ct state established,related accept
				ip daddr 127.0.0.11 udp dport 53 accept
				ip daddr 127.0.0.11 tcp dport 53 accept
			}
			chain nat { type nat hook postrouting priority srcnat; }
		}`)
		l := newResolverLab(t)
		for _, network := range []string{"udp", "tcp"} {
			if err := asks(t, network, 40); err != nil {
				t.Errorf("over %s: %v", network, err)
			}
		}
		l.udp.Close()
		if err := asks(t, "udp", 40); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody listens: %v", err)
		}
	})
}

// While nobody listens, a client is told so at once; and one that keeps its socket hears who listens next, on another port.
func TestResolverThatEnds(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		l := newResolverLab(t)
		kept, err := net.Dial("udp", resolver)
		must(t, err)
		defer kept.Close()
		must(t, echoed(kept, 40))
		l.udp.Close()
		l.tcp.Close()
		for name, err := range map[string]error{
			"a kept UDP socket": echoed(kept, 40), "a new UDP socket": asks(t, "udp", 40), "TCP": asks(t, "tcp", 40),
		} {
			if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s: %v", name, err)
			}
		}
		l.listen(t)
		if err := echoed(kept, 40); err != nil {
			t.Errorf("a kept socket, to a new resolver: %v", err)
		}
		if err := asks(t, "tcp", 40); err != nil {
			t.Errorf("TCP, to a new resolver: %v", err)
		}
	})
}

// A container that an older ctr started has rules of the type nat. The next resolver replaces them, for kept sockets too.
func TestResolverAfterNAT(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		old, err := net.ListenPacket("udp4", "127.0.0.11:40001")
		must(t, err)
		run(t, "nft", `table ip ctr-dns {
			chain output { type nat hook output priority -100; ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:40001; }
			chain postrouting { type nat hook postrouting priority srcnat; ip saddr 127.0.0.11 udp sport 40001 snat to 127.0.0.11:53; }
		}`)
		kept, err := net.Dial("udp", resolver)
		must(t, err)
		defer kept.Close()
		_, err = kept.Write([]byte("question"))
		must(t, err)
		_, _, err = old.ReadFrom(make([]byte, 64))
		must(t, err)
		must(t, old.Close())
		newResolverLab(t)
		if err := echoed(kept, 40); err != nil {
			t.Errorf("a kept socket: %v", err)
		}
		if err := asks(t, "udp", 40); err != nil {
			t.Error(err)
		}
	})
}
