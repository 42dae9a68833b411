package dns

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
)

// TestForward: what no container is called goes to the host's servers, over the protocol of the question, and the reply comes
// back as it is.
func TestForward(t *testing.T) {
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		upstream := startServer(t, here{}, "127.0.0.53:53", func(q *mdns.Msg, tcp bool) [][]byte {
			addr := "192.0.2.1"
			if tcp {
				addr = "192.0.2.2"
			}
			m := withAddress(q, addr)
			m.AuthenticatedData = true
			m.Ns = []mdns.RR{&mdns.NS{Hdr: mdns.RR_Header{Name: "example.", Rrtype: mdns.TypeNS, Class: 1, Ttl: 9}, Ns: "ns.example."}}
			return pack(m)
		})
		s := serve(t, Config{Networks: newZones(t), ResolvConf: resolvConfOf(t, "127.0.0.53")})
		for _, tcp := range []bool{false, true} {
			r, _ := s.exchange(t, ask("www.example", mdns.TypeA), tcp)
			want := map[bool]string{false: "NOERROR 192.0.2.1", true: "NOERROR 192.0.2.2"}[tcp]
			if summary(r) != want || len(r.Ns) != 1 || !r.AuthenticatedData || r.Answer[0].Header().Ttl != 77 {
				t.Errorf("TCP %v: %v", tcp, r)
			}
			if r, _ := s.exchange(t, ask("db", mdns.TypeA), tcp); summary(r) != "NOERROR 172.18.0.2" {
				t.Errorf("TCP %v, own name: %v", tcp, r)
			}
		}
		for _, m := range []*mdns.Msg{
			ask("9.0.18.172.in-addr.arpa", mdns.TypePTR), ask("www.example", mdns.TypeTXT), ask(".", mdns.TypeNS), ask("unknown", mdns.TypeA),
		} {
			before := upstream.queries.Load()
			s.exchange(t, m, false)
			if n := upstream.queries.Load() - before; n != 1 {
				t.Errorf("%v: %d questions to the host's server", m.Question, n)
			}
		}
	})
}

// TestUpstreamOrder: at most three servers, in order; who fails leaves it to the next, what anybody says else is final.
func TestUpstreamOrder(t *testing.T) {
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		servers := map[string]*fakeServer{}
		for name, h := range map[string]handler{
			"127.0.1.1": says("192.0.2.1"),
			"127.0.1.2": fails(mdns.RcodeServerFailure),
			"127.0.1.3": fails(mdns.RcodeRefused),
			"127.0.1.4": fails(mdns.RcodeNameError),
			"127.0.1.5": fails(mdns.RcodeSuccess),
			"127.0.1.6": fails(mdns.RcodeNotImplemented),
			"127.0.1.7": func(q *mdns.Msg, _ bool) [][]byte { // some do so without the question
				m := new(mdns.Msg).SetRcode(q, mdns.RcodeFormatError)
				m.Question = nil
				return pack(m)
			},
			"127.0.1.8": func(q *mdns.Msg, _ bool) [][]byte {
				m := new(mdns.Msg).SetReply(q)
				m.Truncated = true
				return pack(m)
			},
			"::1": says("192.0.2.6"),
		} {
			servers[name] = startServer(t, here{}, netip.AddrPortFrom(netip.MustParseAddr(name), 53).String(), h)
		}
		for _, test := range []struct {
			servers string
			want    string
			asked   string // who else must have been asked, and nobody more
		}{
			{"127.0.1.1 127.0.1.4", "NOERROR 192.0.2.1", "127.0.1.1"},
			{"127.0.1.2 127.0.1.3 127.0.1.1", "NOERROR 192.0.2.1", "127.0.1.2 127.0.1.3 127.0.1.1"},
			{"127.0.1.2 127.0.1.2 127.0.1.2 127.0.1.1", "SERVFAIL", "127.0.1.2"},
			{"127.0.1.4 127.0.1.1", "NXDOMAIN", "127.0.1.4"},
			{"127.0.1.5 127.0.1.1", "NOERROR", "127.0.1.5"},
			{"127.0.1.6 127.0.1.1", "NOTIMP", "127.0.1.6"},
			{"127.0.1.7 127.0.1.1", "NOERROR 192.0.2.1", "127.0.1.7 127.0.1.1"},
			{"127.0.1.8 127.0.1.1", "NOERROR", "127.0.1.8"},
			{"127.0.1.99 127.0.1.1", "NOERROR 192.0.2.1", "127.0.1.1"},   // nobody there
			{"198.51.100.1 127.0.1.1", "NOERROR 192.0.2.1", "127.0.1.1"}, // no route
			{"::1", "NOERROR 192.0.2.6", "::1"},
			{"127.0.1.2 127.0.1.3", "SERVFAIL", "127.0.1.2 127.0.1.3"},
			{"127.0.1.99", "SERVFAIL", ""},
			{"", "SERVFAIL", ""},
		} {
			t.Run(test.servers, func(t *testing.T) {
				s := serve(t, Config{ResolvConf: resolvConfOf(t, strings.Fields(test.servers)...)})
				for _, tcp := range []bool{false, true} {
					for _, f := range servers {
						f.queries.Store(0)
					}
					r, took := s.exchange(t, ask("www.example", mdns.TypeA), tcp)
					if got := summary(r); got != test.want {
						t.Errorf("TCP %v: got %q, want %q", tcp, got, test.want)
					}
					if took > upstreamTimeout/2 {
						t.Errorf("TCP %v: took %v", tcp, took)
					}
					for name, f := range servers {
						if asked := f.queries.Load() > 0; asked != slices.Contains(strings.Fields(test.asked), name) {
							t.Errorf("TCP %v: %s asked: %v", tcp, name, asked)
						}
					}
				}
			})
		}
	})
}

// TestUpstreamTimeout: a silent server has four seconds, then it is the next one's turn.
func TestUpstreamTimeout(t *testing.T) {
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		startServer(t, here{}, "127.0.1.1:53", silent)
		startServer(t, here{}, "127.0.1.2:53", says("192.0.2.2"))
		s := serve(t, Config{ResolvConf: resolvConfOf(t, "127.0.1.1", "127.0.1.2")})
		for _, tcp := range []bool{false, true} {
			t.Run(fmt.Sprintf("TCP=%v", tcp), func(t *testing.T) {
				t.Parallel()
				r, took := s.exchange(t, ask("www.example", mdns.TypeA), tcp)
				if summary(r) != "NOERROR 192.0.2.2" || took < upstreamTimeout || took >= 2*upstreamTimeout {
					t.Errorf("%v after %v", r, took)
				}
			})
		}
	})
}

// TestInternal: nothing is asked from the host for a container without a way out, and it is told at once; its own servers are
// still asked, from its own namespace.
func TestInternal(t *testing.T) {
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		host := startServer(t, here{}, "127.0.0.1:53", says("192.0.2.1"))
		s := serve(t, Config{Networks: newZones(t), ResolvConf: resolvConfOf(t, "127.0.0.1"), Internal: true})
		for _, name := range []string{"www.example", "unknown", "secret.data.example"} {
			for _, tcp := range []bool{false, true} {
				r, took := s.exchange(t, ask(name, mdns.TypeA), tcp)
				if r.Rcode != mdns.RcodeServerFailure || took > upstreamTimeout/2 {
					t.Errorf("%s: %v after %v", name, r, took)
				}
			}
		}
		if got := s.resolve(t, "db"); got != "NOERROR 172.18.0.2" {
			t.Errorf("own name: %q", got)
		}
		startServer(t, s.ns, "127.0.1.1:53", says("192.0.2.2"))
		s.Reconfigure(Config{
			ResolvConf: resolvConfOf(t, "127.0.0.1"), Internal: true, Servers: []netip.AddrPort{netip.MustParseAddrPort("127.0.1.1:53")},
		})
		if got := s.resolve(t, "www.example"); got != "NOERROR 192.0.2.2" {
			t.Errorf("server of its own: %q", got)
		}
		if n := host.queries.Load(); n != 0 {
			t.Errorf("%d questions came to the host's server", n)
		}
		s.Reconfigure(Config{ResolvConf: resolvConfOf(t, "127.0.0.1")})
		if got := s.resolve(t, "www.example"); got != "NOERROR 192.0.2.1" {
			t.Errorf("with a way out: %q", got)
		}
	})
}

// TestOwnServers: --dns takes the place of the host's servers, and is asked from the container's namespace.
func TestOwnServers(t *testing.T) {
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		host := startServer(t, here{}, "127.0.0.1:53", says("192.0.2.1"))
		s := serve(t, Config{
			ResolvConf: resolvConfOf(t, "127.0.0.1"),
			Servers: []netip.AddrPort{
				netip.MustParseAddrPort("127.0.0.11:53"), // the resolver itself: not asked
				netip.MustParseAddrPort("127.0.0.1:53"), netip.MustParseAddrPort("[::1%lo]:5353"), netip.MustParseAddrPort("127.0.1.9:53"),
				netip.MustParseAddrPort("127.0.1.10:53"), // a fourth
			},
		})
		first := startServer(t, s.ns, "127.0.0.1:53", fails(mdns.RcodeServerFailure))
		second := startServer(t, s.ns, "[::1]:5353", fails(mdns.RcodeRefused))
		fourth := startServer(t, s.ns, "127.0.1.10:53", says("192.0.2.4"))
		for _, tcp := range []bool{false, true} {
			if r, _ := s.exchange(t, ask("www.example", mdns.TypeA), tcp); r.Rcode != mdns.RcodeServerFailure {
				t.Errorf("TCP %v: %v", tcp, r)
			}
		}
		for i, f := range []*fakeServer{host, first, second, fourth} {
			if want := []int64{0, 2, 2, 0}[i]; f.queries.Load() != want {
				t.Errorf("server %d: %d questions, want %d", i, f.queries.Load(), want)
			}
		}
	})
}

// TestLinkLocal: the zone of a link-local server is a device of the namespace that it is asked from.
func TestLinkLocal(t *testing.T) {
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		server := netip.MustParseAddrPort("[fe80::53%v0]:53")
		s := serve(t, Config{Servers: []netip.AddrPort{server}})
		var index int
		err := s.ns.Do(func() (err error) {
			index, err = addLinkLocal(t, "v0", "fe80::53/64")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		startServer(t, s.ns, fmt.Sprintf("[fe80::53%%%d]:53", index), says("192.0.2.1"))
		for _, zone := range []string{"v0", strconv.Itoa(index)} {
			c := Config{Servers: []netip.AddrPort{netip.AddrPortFrom(server.Addr().WithZone(zone), 53)}}
			s.Reconfigure(c)
			for _, tcp := range []bool{false, true} {
				if r, _ := s.exchange(t, ask("www.example", mdns.TypeA), tcp); summary(r) != "NOERROR 192.0.2.1" {
					t.Errorf("zone %s, TCP %v: %v", zone, tcp, r)
				}
			}
		}
		s.Reconfigure(Config{Servers: []netip.AddrPort{netip.AddrPortFrom(server.Addr().WithZone("none"), 53)}})
		if got := s.resolve(t, "www.example"); got != "SERVFAIL" {
			t.Errorf("no such device: %q", got)
		}
	})
}

// addLinkLocal makes a device with an address in the namespace of the thread, and returns its index.
func addLinkLocal(tb testing.TB, name, address string) (int, error) {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return 0, err
	}
	defer nl.Close()
	err = nl.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name, Flags: net.FlagUp}, PeerName: name + "p"})
	if err != nil {
		return 0, err
	}
	link, err := nl.LinkByName(name)
	if err != nil {
		return 0, err
	}
	addr, err := netlink.ParseAddr(address)
	if err != nil {
		return 0, err
	}
	addr.Flags = unix.IFA_F_NODAD
	if err := nl.AddrAdd(link, addr); err != nil {
		return 0, err
	}
	// The kernel makes the route to it a little later, by a worker.
	eventually(tb, "address is ours", func() bool {
		routes, err := nl.RouteGetWithOptions(addr.IP, &netlink.RouteGetOptions{Oif: name})
		return err == nil && len(routes) == 1 && routes[0].Type == unix.RTN_LOCAL
	})
	return link.Attrs().Index, nil
}

// TestSelf: a resolver that is given its own address does not ask itself.
func TestSelf(t *testing.T) {
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		for _, servers := range [][]netip.AddrPort{
			nil, {netip.MustParseAddrPort("127.0.0.11:53")}, {netip.MustParseAddrPort("[::ffff:127.0.0.11]:53")},
		} {
			s := serve(t, Config{ResolvConf: resolvConfOf(t, "127.0.0.11"), Servers: servers})
			r, took := s.exchange(t, ask("www.example", mdns.TypeA), false)
			if r.Rcode != mdns.RcodeServerFailure || took > upstreamTimeout/2 {
				t.Errorf("%v: %v after %v", servers, r, took)
			}
		}
	})
}
