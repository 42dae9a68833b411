package firewall_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ctr/internal/testhost"
	"ctr/network/firewall"
	"ctr/network/netns"
	"ctr/network/ports"
)

// node is a network namespace that talks: the host, a container or a neighbour.
type node struct {
	name string
	ns   *netns.Handle // nil: the host
}

func (n node) do(f func() error) error {
	if n.ns == nil {
		return f()
	}
	return n.ns.Do(f)
}

// ip runs ip(8) in the node.
func (n node) ip(t testing.TB, args string) {
	t.Helper()
	argv := append([]string{"ip"}, strings.Fields(args)...)
	if n.ns != nil {
		argv = append([]string{"nsenter", "--net=" + n.ns.Path()}, argv...)
	}
	run(t, argv[0], argv[1:]...)
}

// sysctl sets a parameter of the node.
func (n node) sysctl(t testing.TB, name, value string) {
	t.Helper()
	must(t, n.do(func() error {
		return os.WriteFile("/proc/sys/"+strings.ReplaceAll(name, ".", "/"), []byte(value), 0)
	}))
}

// heard is what UDP servers heard, "NODE CLIENT", also where the answer was lost. Each test has a process of its own.
var heard sync.Map

// serve answers on a TCP and a UDP port of all addresses with the node's name and the client's address.
func (n node) serve(t testing.TB, port int) {
	t.Helper()
	must(t, n.do(func() error {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write([]byte(n.name + " " + address(c.RemoteAddr())))
				c.Close()
			}
		}()
		u, err := net.ListenPacket("udp", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		t.Cleanup(func() { u.Close() })
		go func() {
			b := make([]byte, 64)
			for {
				_, from, err := u.ReadFrom(b)
				if err != nil {
					return
				}
				heard.Store(n.name+" "+address(from), true)
				_, _ = u.WriteTo([]byte(n.name+" "+address(from)), from)
			}
		}()
		return nil
	}))
}

// address is an address without its port.
func address(a net.Addr) string {
	return netip.MustParseAddrPort(a.String()).Addr().Unmap().String()
}

// patience is how long a packet that should be lost may take.
const patience = 400 * time.Millisecond

// trust is how long one that should arrive may take, on a busy machine.
const trust = 10 * time.Second

// ask connects to a server and returns its answer, or "" if there is none.
func (n node) ask(network, to string) string { return n.askFor(patience, network, to) }

// askFor waits so long for it.
func (n node) askFor(patience time.Duration, network, to string) string {
	var answer string
	_ = n.do(func() error {
		if network == "ping" {
			answer = ping(to, patience)
			return nil
		}
		d := net.Dialer{Timeout: patience}
		c, err := d.Dial(network, to)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		if network == "udp" {
			_, _ = c.Write([]byte("?"))
		}
		b := make([]byte, 128)
		k, err := c.Read(b)
		answer = string(b[:k])
		return err
	})
	return answer
}

// ping sends an ICMP echo request and returns "pong" if an echo reply comes back.
func ping(to string, patience time.Duration) string {
	c, err := net.DialIP("ip4:icmp", nil, &net.IPAddr{IP: net.ParseIP(to)})
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	request := []byte{8, 0, 0xf7, 0xfe, 0, 1, 0, 0} // type, code, checksum, identifier, number
	if _, err := c.Write(request); err != nil {
		return ""
	}
	b := make([]byte, 128)
	for {
		n, _, err := c.ReadFrom(b) // without the IP header, unlike Read
		if err != nil {
			return ""
		}
		if n >= 8 && b[0] == 0 {
			return "pong"
		}
	}
}

// question is a line of a table of who reaches whom. Without an answer nothing may come back.
type question struct {
	from        node
	network, to string
	answer      string
}

// askAll asks side by side: what is lost takes time.
func askAll(t *testing.T, questions []question) {
	t.Helper()
	var wg sync.WaitGroup
	answers := make([]string, len(questions))
	for i, q := range questions {
		wait := patience
		if q.answer != "" {
			wait = trust
		}
		wg.Go(func() { answers[i] = q.from.askFor(wait, q.network, q.to) })
	}
	wg.Wait()
	for i, q := range questions {
		if answers[i] != q.answer {
			t.Errorf("%s asks %s %s: %q, want %q", q.from.name, q.network, q.to, answers[i], q.answer)
		}
	}
}

// lab is a host with bridges, containers and two neighbours on wires of their own.
type lab struct {
	*firewall.Firewall
	host, lanA, lanB node
	networks         []firewall.Network
}

// newLab makes a lab: the host has 10.1.0.1 and 2001:db8:1::1 on the wire lan-a, and the same with 2 on lan-b; the
// neighbours have the addresses behind those.
func newLab(t *testing.T, h *testhost.Host) *lab {
	t.Helper()
	l := &lab{Firewall: firewall.Open(nil, ""), host: node{name: "host"}}
	for _, name := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
		l.host.sysctl(t, name, "1")
	}
	l.lanA, l.lanB = l.neighbour(t, h, 1), l.neighbour(t, h, 2)
	l.host.serve(t, 9999)
	return l
}

func (l *lab) neighbour(t *testing.T, h *testhost.Host, number int) node {
	t.Helper()
	name := "lan-" + string(rune('a'+number-1))
	o, err := h.Outside(name, netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/24", number)))
	must(t, err)
	ns, err := netns.Open(o.Path)
	must(t, err)
	t.Cleanup(func() { ns.Close() })
	n := node{name: name, ns: ns}
	l.host.ip(t, fmt.Sprintf("address add 2001:db8:%d::1/64 dev %s nodad", number, name))
	n.ip(t, fmt.Sprintf("address add 2001:db8:%d::2/64 dev eth0 nodad", number))
	n.ip(t, fmt.Sprintf("route add default via 2001:db8:%d::1", number))
	n.serve(t, 80)
	n.serve(t, 8080)
	l.await(t, n, fmt.Sprintf("2001:db8:%d::2", number))
	return n
}

// network makes a bridge with its gateway addresses, and the firewall's rules for it.
func (l *lab) network(t *testing.T, n firewall.Network) {
	t.Helper()
	// With an address of its own, or it changes with its ports, and neighbours talk to the old one.
	l.host.ip(t, fmt.Sprintf("link add %s address 02:00:00:00:00:%02x type bridge", n.Bridge, len(l.networks)+1))
	for i, g := range n.Gateways {
		l.host.ip(t, fmt.Sprintf("address add %s/%d dev %s nodad", g, n.Prefixes[i].Bits(), n.Bridge))
	}
	l.host.ip(t, "link set "+n.Bridge+" up")
	l.networks = append(l.networks, n)
	addNetwork(t, l.Firewall, n)
}

// container makes a namespace on a bridge, with default routes by its gateways.
func (l *lab) container(t *testing.T, bridge, name string, addrs ...string) node {
	t.Helper()
	ns, err := netns.New()
	must(t, err)
	t.Cleanup(func() { ns.Close() })
	n := node{name: name, ns: ns}
	l.host.ip(t, "link add v"+name+" master "+bridge+" up type veth peer name eth0 netns "+ns.Path())
	n.ip(t, "link set lo up")
	for _, a := range addrs {
		n.ip(t, "address add "+a+" dev eth0 nodad")
	}
	n.ip(t, "link set eth0 up")
	i := slices.IndexFunc(l.networks, func(n firewall.Network) bool { return n.Bridge == bridge })
	for _, g := range l.networks[i].Gateways {
		n.ip(t, "route add default via "+g.String())
	}
	n.serve(t, 80)
	for _, a := range addrs {
		l.await(t, n, netip.MustParsePrefix(a).Addr().String())
	}
	return n
}

// await waits until the host and the node reach each other. The kernel may take a second to notice that a link is up
// (linkwatch), and IPv6 waits for that.
func (l *lab) await(t *testing.T, n node, address string) {
	t.Helper()
	for start := time.Now(); l.host.ask("tcp", net.JoinHostPort(address, "80")) == ""; {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("the host does not reach %s", n.name)
		}
	}
}

// publish holds the ports, sends them to the containers and starts the proxy.
func (l *lab) publish(t *testing.T, list ...firewall.Port) {
	t.Helper()
	var forwards []ports.Forward
	taken := map[string]int{} // a port with targets of two families is one port
	for _, p := range list {
		target := netip.AddrPortFrom(p.ContainerIP, p.ContainerPort)
		key := fmt.Sprint(p.Protocol, p.HostIP, p.HostPort)
		if i, ok := taken[key]; ok {
			forwards[i].Targets = append(forwards[i].Targets, target)
			continue
		}
		held, err := ports.Hold(nil, []ports.Port{{Protocol: ports.Protocol(p.Protocol), HostIP: p.HostIP, HostPort: p.HostPort}})
		must(t, err)
		t.Cleanup(func() { held[0].Close() })
		taken[key] = len(forwards)
		forwards = append(forwards, ports.Forward{Held: held[0], Targets: []netip.AddrPort{target}})
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ports.Serve(ctx, forwards...) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	must(t, l.AddPorts(list))
}
