package dns

import (
	"math"
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"ctr/internal/testhost"
)

// TestForgery: replies that are not to this question, or not from the server, are as if they had not come; each question has a
// port and an ID of its own.
func TestForgery(t *testing.T) {
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		upstream := startServer(t, here{}, "127.0.1.1:53", func(q *mdns.Msg, tcp bool) [][]byte {
			forged := func(change func(*mdns.Msg)) []byte {
				m := withAddress(q, "203.0.113.66")
				change(m)
				return pack(m)[0]
			}
			replies := [][]byte{
				nil,
				{0},
				make([]byte, headerSize),
				forged(func(m *mdns.Msg) { m.Id++ }),
				forged(func(m *mdns.Msg) { m.Question[0].Name = "evil.example." }),
				forged(func(m *mdns.Msg) { m.Question[0].Qtype = mdns.TypeAAAA }),
				forged(func(m *mdns.Msg) { m.Question[0].Qclass = mdns.ClassCHAOS }),
				forged(func(m *mdns.Msg) { m.Response = false }),
				forged(func(m *mdns.Msg) { m.Question = nil }),
				forged(func(m *mdns.Msg) { m.Question = append(m.Question, m.Question[0]) }),
				pack(withAddress(q, "192.0.2.1"))[0],
			}
			if tcp {
				return replies[3:4] // the connection is with the server: what it says wrongly ends it
			}
			return replies
		})
		s := serve(t, Config{ResolvConf: resolvConfOf(t, "127.0.1.1")})
		const count = 3000 // enough to tell 14 bits from 13.5
		for range count {
			if got := s.resolve(t, "www.example"); got != "NOERROR 192.0.2.1" {
				t.Fatalf("got %q", got)
			}
		}
		if r, _ := s.exchange(t, ask("www.example", mdns.TypeA), true); r.Rcode != mdns.RcodeServerFailure {
			t.Errorf("forged over TCP: %v", r)
		}
		upstream.mu.Lock()
		defer upstream.mu.Unlock()
		for what, values := range map[string][]uint16{"IDs": upstream.ids, "ports": upstream.ports} {
			if bits := entropy(values); bits < 14 {
				t.Errorf("%s have %.1f bits", what, bits)
			}
		}
	})
}

// entropy estimates of how many bits numbers have been drawn, from how many pairs are the same: of n numbers out of m, n * n /
// 2m. A counter, which has no pairs, has as many as its range.
func entropy(values []uint16) float64 {
	values = slices.Clone(values)
	slices.Sort(values)
	span := float64(values[len(values)-1]-values[0]) + 1
	pairs := float64(len(values) - len(slices.Compact(slices.Clone(values))))
	n := float64(len(values))
	return math.Log2(min(span, n*n/2/max(pairs, 0.5)))
}

// TestOtherCase: a reply in other letters than the question may be a forger's who has not seen it. It is asked for again over
// TCP, and comes to the client in the client's letters, as far as it fits.
func TestOtherCase(t *testing.T) {
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		startServer(t, here{}, "127.0.1.1:53", func(q *mdns.Msg, tcp bool) [][]byte {
			small := q.Copy()
			small.Question[0].Name = strings.ToLower(q.Question[0].Name)
			if !tcp {
				return pack(withAddress(small, "203.0.113.66"))
			}
			m := withAddress(small, "192.0.2.1")
			if strings.HasPrefix(small.Question[0].Name, "big.") {
				for range 40 {
					m.Answer = append(m.Answer, m.Answer[0])
				}
			}
			return pack(m)
		})
		s := serve(t, Config{ResolvConf: resolvConfOf(t, "127.0.1.1")})
		r, _ := s.exchange(t, ask("wWw.eXample", mdns.TypeA), false)
		if summary(r) != "NOERROR 192.0.2.1" || r.Question[0].Name != "wWw.eXample." {
			t.Errorf("got %v", r)
		}
		r, _ = s.exchange(t, ask("bIg.eXample", mdns.TypeA), false)
		if !r.Truncated || len(r.Answer) != 0 || r.Question[0].Name != "bIg.eXample." {
			t.Errorf("large: %v", r)
		}
		// Who does not mix letters notices nothing.
		if got := s.resolve(t, "www.example"); got != "NOERROR 203.0.113.66" {
			t.Errorf("small letters: %q", got)
		}
	})
}
