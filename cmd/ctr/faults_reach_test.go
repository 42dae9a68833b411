package main_test

import (
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ctr/network/netns"
)

// Containers of three networks ask each other, by each protocol, by each address that one of them has: every question inside of a
// network is answered, none between two, also when the one who asks routes to the other's network by the host himself.
func TestD7EveryPair(t *testing.T) {
	faults(t, func(v *victims) {
		type container struct {
			name      string
			network   int
			addresses []string
		}
		var all []container
		var silent []func()
		for n := 1; n <= 3; n++ {
			network := fmt.Sprint("n", n)
			v.must("network", "create", "--ipv6", "--subnet", fmt.Sprintf("10.8%d.0.0/24", n), "--subnet", fmt.Sprintf("fd8%d::/64", n), network)
			for i := 2; i <= 3; i++ {
				c := container{fmt.Sprintf("%s-%d", network, i), n, []string{fmt.Sprintf("10.8%d.0.%d", n, i), fmt.Sprintf("fd8%d::%d", n, i)}}
				v.must("run", "-d", "--name", c.name, "--network", network, "--cap-add", "NET_ADMIN", "busybox", "sleep", "1000")
				all = append(all, c)
				silent = append(silent, v.answers(c.name))
			}
		}
		for _, routed := range []bool{false, true} {
			var wg sync.WaitGroup
			for _, from := range all {
				if routed { // past the gateway's own route, for whoever would answer
					for n := 1; n <= 3; n++ {
						if n != from.network {
							v.must("exec", from.name, "ip", "route", "add", fmt.Sprintf("10.8%d.0.0/24", n), "via", fmt.Sprintf("10.8%d.0.1", from.network))
							v.must("exec", from.name, "ip", "-6", "route", "add", fmt.Sprintf("fd8%d::/64", n), "via", fmt.Sprintf("fd8%d::1", from.network))
						}
					}
				}
				for _, to := range all {
					if from.name == to.name {
						continue
					}
					for i, address := range to.addresses {
						wg.Go(func() {
							want := from.network == to.network
							reached := v.reached(from.name, address, i == 1, want)
							if want && len(reached) != 3 || !want && len(reached) != 0 {
								v.Errorf("%s asks %s at %s (routed: %v): reached by %q", from.name, to.name, address, routed, reached)
							}
						})
					}
				}
			}
			wg.Wait()
		}
		for i, c := range all {
			silent[i]()
			v.must("rm", "-f", c.name)
		}
		v.must("network", "rm", "n1", "n2", "n3")
		v.healed()
	})
}

// in runs f in the network namespace of a container.
func (v *victims) in(name string, f func() error) {
	v.Helper()
	ns, err := netns.Open("/run/netns/" + name)
	if err != nil {
		v.Fatal(err)
	}
	defer ns.Close()
	if err := ns.Do(f); err != nil {
		v.Fatal(err)
	}
}

// answers has a container answer on port 80, in both protocols, until stop is called: sockets keep the namespace of a container
// that has ended.
func (v *victims) answers(name string) (stop func()) {
	v.Helper()
	var stops []io.Closer
	v.in(name, func() error {
		l, err := net.Listen("tcp", ":80")
		if err != nil {
			return err
		}
		stops = append(stops, l)
		go serveTCP(l, name)
		u, err := net.ListenPacket("udp", ":80")
		if err != nil {
			return err
		}
		stops = append(stops, u)
		go serveUDP(u, name)
		return nil
	})
	return func() {
		for _, s := range stops {
			s.Close()
		}
	}
}

// reached tells by which protocols an address answers a container. Where answers are wanted it waits for them, else for the silence.
func (v *victims) reached(from, address string, six, wanted bool) (by []string) {
	v.Helper()
	limit := silence
	if wanted {
		limit = patience
	}
	at := netip.AddrPortFrom(netip.MustParseAddr(address), 80).String()
	for _, protocol := range []string{"tcp", "udp"} {
		v.in(from, func() error {
			if _, err := ask(protocol, at, limit); err == nil {
				by = append(by, protocol)
			}
			return nil
		})
	}
	ping := []string{"exec", from, "ping", "-c", "1", "-W", strconv.Itoa(int(math.Ceil(limit.Seconds()))), address}
	if six {
		ping[2] = "ping6"
	}
	if v.try(ping...).code == 0 {
		by = append(by, "icmp")
	}
	return by
}

// A client that asks a published UDP port without pause, from one port of its own, is answered by the container that has the port
// now, soon after that runs: through 20 replacements, of which some are kills.
func TestD9ReplacedContainer(t *testing.T) {
	faults(t, func(v *victims) {
		lan := must(v.h.Outside("lan", netip.MustParsePrefix("10.1.0.1/24")))
		ns := must(netns.Open(lan.Path))
		var conn net.Conn
		if err := ns.Do(func() (err error) {
			conn, err = net.Dial("udp", "10.1.0.1:5555")
			return err
		}); err != nil {
			v.Fatal(err)
		}
		var stop atomic.Bool
		var asking sync.WaitGroup
		asking.Go(func() {
			for !stop.Load() {
				_, _ = conn.Write([]byte("?")) // refusals on the way are the point
				time.Sleep(time.Millisecond)
			}
		})
		var worst time.Duration
		for i := range 20 {
			name := fmt.Sprint("s", i)
			v.must("run", "-d", "--name", name, "--network", "net", "-p", "5555:80/udp", "busybox", "sleep", "1000")
			silent := v.answers(name)
			worst = max(worst, v.hears(conn, name))
			silent()
			if i%3 == 0 {
				v.kill(name, false)
				v.must("kill", name)
			}
			v.must("rm", "-f", name)
		}
		v.Logf("the longest silence: %v", worst)
		// TestReplacedUDPServer measures what the rules take; here the machine may have other work. What the kernel had tracked, and
		// nobody made it forget, would last for as long as the client asks.
		if worst > 15*time.Second {
			v.Errorf("the client heard nothing for %v", worst)
		}
		stop.Store(true)
		asking.Wait()
		conn.Close()
		ns.Close()
		if err := lan.Close(); err != nil {
			v.Error(err)
		}
		v.healed()
	})
}

// hears waits for an answer of the name, and tells how long that took.
func (v *victims) hears(conn net.Conn, name string) time.Duration {
	v.Helper()
	begin, buf := time.Now(), make([]byte, 100)
	for time.Since(begin) < patience {
		_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if n, err := conn.Read(buf); err == nil && strings.HasPrefix(string(buf[:n]), name+" ") {
			return time.Since(begin)
		}
	}
	v.Fatalf("no answer of %s", name)
	return 0
}
