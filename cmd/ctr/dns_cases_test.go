package main_test

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"ctr/internal/proc"
	"ctr/network/netns"
)

// client asks from a network namespace.
type client struct {
	*victims
	ns *netns.Handle
}

// from returns a client in the namespace of a container.
func (v *victims) from(container string) client {
	v.Helper()
	ns, err := netns.Open("/run/netns/" + container)
	if err != nil {
		v.Fatal(err)
	}
	v.Cleanup(func() { ns.Close() })
	return client{v, ns}
}

// ask asks a server once, over UDP or TCP.
func (c client) ask(network, server, name string, qtype uint16) (*dns.Msg, error) {
	var conn net.Conn
	err := c.ns.Do(func() (err error) {
		conn, err = net.DialTimeout(network, server, patience)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	question := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	// The resolver, and all the servers that it may ask, need less.
	answer, _, err := (&dns.Client{Net: network, Timeout: 15 * time.Second}).ExchangeWithConn(question, &dns.Conn{Conn: conn})
	return answer, err
}

// addresses returns what a name stands for, by the container's resolver.
func (c client) addresses(name string) []string {
	c.Helper()
	answer, err := c.ask("udp", "127.0.0.11:53", name, dns.TypeA)
	if err != nil {
		c.Fatalf("ask for %s: %v", name, err)
	}
	var all []string
	for _, rr := range answer.Answer {
		if a, ok := rr.(*dns.A); ok {
			all = append(all, a.A.String())
		}
	}
	return all
}

// expect fails unless the names stand for the addresses, for nothing if there are none.
func (c client) expect(when string, names []string, want ...string) {
	c.Helper()
	for _, name := range names {
		if got := c.addresses(name); !slices.Equal(got, want) {
			c.Fatalf("%s: %s is %v, want %v", when, name, got, want)
		}
	}
}

// Names are exact at the moment of the question, however a container is replaced, disconnected or ended.
func TestF9Fresh(t *testing.T) {
	rounds := 20
	if allFaults() {
		rounds = 100
	}
	faults(t, func(v *victims) {
		v.must("network", "create", "--subnet", "10.66.0.0/24", "fresh")
		v.must("run", "-d", "--name", "asker", "--network", "fresh", "busybox", "sleep", "10000")
		c := v.from("asker")
		ends := []func(id string){
			func(string) { v.must("rm", "-f", "web") },
			func(string) { v.must("stop", "-t", "0", "web") },
			func(string) { v.must("kill", "web"); v.must("wait", "web") },
			func(string) { v.killAll("web") },
			func(string) { v.must("network", "disconnect", "fresh", "web") },
		}
		for i := range rounds {
			when := fmt.Sprintf("round %d", i)
			address := fmt.Sprintf("10.66.0.%d", 10+i)
			id := v.must("run", "-d", "--name", "web", "--network", "name=fresh,alias=shop,ip="+address, "busybox", "sleep", "10000")
			names := []string{"web", "WEB", "shop", id[:12], "web.fresh", "shop.fresh"}
			c.expect(when+", started", names, address)
			if reverse, err := dns.ReverseAddr(address); err != nil {
				t.Fatal(err)
			} else if answer, err := c.ask("udp", "127.0.0.11:53", reverse, dns.TypePTR); err != nil || len(answer.Answer) != 1 ||
				!strings.HasSuffix(answer.Answer[0].String(), "\tweb.fresh.") {
				t.Fatalf("%s: %s is %v, %v", when, address, answer, err)
			}
			ends[i%len(ends)](id)
			c.expect(when+", ended", names)
			v.must("rm", "-f", "web")
		}
		v.must("rm", "-f", "asker")
		v.must("network", "rm", "fresh")
	})
}

// killAll kills a container's monitor and then its init, so that nothing of ctr runs when it ends, and waits for its end.
func (v *victims) killAll(name string) {
	v.Helper()
	pid, err := strconv.Atoi(v.must("inspect", "--format", "{{.State.Pid}}", name))
	if err != nil {
		v.Fatal(err)
	}
	init, err := proc.Of(pid)
	if err != nil {
		v.Fatal(err)
	}
	v.kill(name, false)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		v.Fatal(err)
	}
	v.await("the init to end", func() bool { return !init.Alive() })
}

// A container may serve port 53 of all its addresses and still asks our resolver, with those that share its network; the
// resolver answers nobody else.
func TestF8OwnServer(t *testing.T) {
	faults(t, func(v *victims) {
		v.must("run", "-d", "--name", "own", "--network", "net", "busybox", "sleep", "10000")
		v.must("run", "-d", "--name", "peer", "--network", "net", "busybox", "sleep", "10000")
		own, peer := v.from("own"), v.from("peer")
		own.serveDNS("0.0.0.0:53", "192.0.2.53")
		address := own.addresses("own")[0]
		for _, network := range []string{"udp", "tcp"} {
			for server, want := range map[string]string{"127.0.0.11:53": address, address + ":53": "192.0.2.53", "127.0.0.1:53": "192.0.2.53"} {
				if answer, err := own.ask(network, server, "own", dns.TypeA); err != nil || len(answer.Answer) != 1 ||
					!strings.HasSuffix(answer.Answer[0].String(), "\t"+want) {
					t.Errorf("%s %s: %v, %v, want %s", network, server, answer, err, want)
				}
			}
			if answer, err := peer.ask(network, address+":53", "own", dns.TypeA); err != nil || len(answer.Answer) != 1 {
				t.Errorf("a neighbour asks its server over %s: %v, %v", network, answer, err)
			}
		}
		if o := v.try("run", "--rm", "--network", "container:own", "busybox", "nslookup", "peer"); o.code != 0 {
			t.Errorf("who shares the network: %s %s", o.stdout, o.stderr)
		}
		v.unreachable(own, peer, address)
		v.must("rm", "-f", "own", "peer")
	})
}

// serveDNS answers every question with one address, in the client's namespace, until the test ends.
func (c client) serveDNS(address, says string) {
	c.Helper()
	var udp net.PacketConn
	var tcp net.Listener
	err := c.ns.Do(func() (err error) {
		if udp, err = net.ListenPacket("udp4", address); err == nil {
			tcp, err = net.Listen("tcp4", address)
		}
		return err
	})
	if err != nil {
		c.Fatal(err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		rr, err := dns.NewRR(q.Question[0].Name + " 60 IN A " + says)
		if err == nil {
			answer.Answer = append(answer.Answer, rr)
		}
		_ = w.WriteMsg(answer)
	})
	for _, s := range []*dns.Server{{PacketConn: udp, Handler: handler}, {Listener: tcp, Handler: handler}} {
		c.Cleanup(func() { _ = s.Shutdown() })
		go func() { _ = s.ActivateAndServe() }()
	}
}

// unreachable fails if the resolver of own can be asked from elsewhere, by the ports that it really listens on.
func (v *victims) unreachable(own, peer client, address string) {
	v.Helper()
	var table []byte
	err := own.ns.Do(func() (err error) {
		table, err = os.ReadFile("/proc/thread-self/net/tcp")
		return err
	})
	if err != nil {
		v.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line) // sl local_address rem_address st: proc_pid_net(5), in host byte order
		if len(fields) < 4 || !strings.HasPrefix(fields[1], "0B00007F:") || fields[3] != "0A" {
			continue
		}
		port, err := strconv.ParseUint(strings.TrimPrefix(fields[1], "0B00007F:"), 16, 16)
		if err != nil {
			v.Fatal(err)
		}
		found++
		for _, host := range []string{address, "127.0.0.11"} {
			conn, err := peer.dialTCP(net.JoinHostPort(host, strconv.FormatUint(port, 10)))
			if err == nil {
				conn.Close()
				v.Errorf("a neighbour reaches %s:%d", host, port)
			}
		}
		if conn, err := net.DialTimeout("tcp", net.JoinHostPort(address, strconv.FormatUint(port, 10)), time.Second); err == nil {
			conn.Close()
			v.Errorf("the host reaches %s:%d", address, port)
		}
	}
	if found != 1 {
		v.Errorf("%d listeners on 127.0.0.11", found)
	}
}

func (c client) dialTCP(address string) (conn net.Conn, err error) {
	err = c.ns.Do(func() error {
		conn, err = net.DialTimeout("tcp", address, time.Second)
		return err
	})
	return conn, err
}
