package dns

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"ctr/internal/proc"
	"ctr/network/names"
)

// owner returns an owner of entries that lives as long as the test.
func owner(id string) names.Owner { return names.Owner{ID: id, Process: proc.Self()} }

// newZones makes the networks red and blue.corp, with what the tables below ask for.
func newZones(tb testing.TB) []Network {
	tb.Helper()
	dir := tb.TempDir()
	red := names.Zone{Dir: filepath.Join(dir, "red")}
	blue := names.Zone{Dir: filepath.Join(dir, "blue")}
	put := func(z names.Zone, name, addr, id string) {
		tb.Helper()
		if err := z.Add(name, netip.MustParseAddr(addr), owner(id)); err != nil {
			tb.Fatal(err)
		}
	}
	put(red, "db", "172.18.0.2", "db-red")
	put(red, "shared", "172.18.0.2", "db-red")
	put(red, "six", "fd00::6", "six")
	put(red, "a.b", "172.18.0.4", "dotted")
	put(blue, "db", "172.19.0.2", "db-blue")
	put(blue, "db", "fd01::2", "db-blue")
	put(blue, "web", "172.19.0.3", "web")
	put(blue, "web", "172.19.0.4", "web2")
	put(blue, "a", "172.19.0.5", "short")
	for addr, name := range map[string]string{"172.18.0.2": "DB", "fd00::6": "six"} {
		if err := red.SetReverse(netip.MustParseAddr(addr), name, owner("of "+name)); err != nil {
			tb.Fatal(err)
		}
	}
	return []Network{{Name: "red", Zone: red.Dir, TTL: 5}, {Name: "blue.corp", Zone: blue.Dir, TTL: 600}}
}

// tell returns what the server answers itself: "forward", or the code, the flags and the sorted records.
func tell(tb testing.TB, s *Server, m *mdns.Msg, limit int) (string, *mdns.Msg) {
	tb.Helper()
	packed, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	var q query
	reply, forward := s.answer(&q, &lookups{}, packed, nil, limit)
	if forward {
		return "forward", nil
	}
	var r mdns.Msg
	if err := r.Unpack(reply); err != nil {
		tb.Fatalf("reply % x: %v", reply, err)
	}
	if r.Id != m.Id || !r.Response {
		tb.Errorf("reply %v: not to question %d", r, m.Id)
	}
	text := []string{mdns.RcodeToString[r.Rcode]}
	for _, rr := range r.Answer {
		text = append(text, strings.Join(strings.Fields(rr.String()), " "))
	}
	slices.Sort(text[1:])
	return strings.Join(text, "; "), &r
}

func ask(name string, qtype uint16) *mdns.Msg {
	m := new(mdns.Msg).SetQuestion(mdns.Fqdn(name), qtype)
	m.Id = 4711
	return m
}

func TestAnswer(t *testing.T) {
	s := New(Config{Networks: newZones(t)}, nil)
	defer s.closeZones()
	for _, test := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		// Names on the networks in their order; the spelling is the client's.
		{"db", mdns.TypeA, "NOERROR; db. 5 IN A 172.18.0.2"},
		{"Db", mdns.TypeA, "NOERROR; Db. 5 IN A 172.18.0.2"},
		{"shared", mdns.TypeA, "NOERROR; shared. 5 IN A 172.18.0.2"},
		{"web", mdns.TypeA, "NOERROR; web. 600 IN A 172.19.0.3; web. 600 IN A 172.19.0.4"},
		// The other family may be on another network; if it is nowhere, the answer is empty.
		{"db", mdns.TypeAAAA, "NOERROR; db. 600 IN AAAA fd01::2"},
		{"six", mdns.TypeAAAA, "NOERROR; six. 5 IN AAAA fd00::6"},
		{"six", mdns.TypeA, "NOERROR"},
		{"web", mdns.TypeAAAA, "NOERROR"},
		// Every other type of a container's name is empty too, and never goes out.
		{"db", mdns.TypeMX, "NOERROR"},
		{"db", mdns.TypeTXT, "NOERROR"},
		{"db", mdns.TypeSRV, "NOERROR"},
		{"db", mdns.TypeHTTPS, "NOERROR"},
		{"db", mdns.TypeSOA, "NOERROR"},
		{"db", mdns.TypeNS, "NOERROR"},
		{"db", mdns.TypePTR, "NOERROR"},
		{"db.red", mdns.TypeCNAME, "NOERROR"},
		{"db", 65280, "NOERROR"},
		{"db.blue.corp", mdns.TypeANY, "NOERROR; db.blue.corp. 600 IN A 172.19.0.2; db.blue.corp. 600 IN AAAA fd01::2"},
		// name.network, split at each dot from the right.
		{"db.red", mdns.TypeA, "NOERROR; db.red. 5 IN A 172.18.0.2"},
		{"db.RED", mdns.TypeA, "NOERROR; db.RED. 5 IN A 172.18.0.2"},
		{"db.blue.corp", mdns.TypeA, "NOERROR; db.blue.corp. 600 IN A 172.19.0.2"},
		{"db.red", mdns.TypeAAAA, "NOERROR"},
		{"a.b", mdns.TypeA, "NOERROR; a.b. 5 IN A 172.18.0.4"},
		{"a.b.red", mdns.TypeA, "NOERROR; a.b.red. 5 IN A 172.18.0.4"},
		{"a.blue.corp", mdns.TypeA, "NOERROR; a.blue.corp. 600 IN A 172.19.0.5"},
		// What no container is called.
		{"web.red", mdns.TypeA, "forward"},
		{"db.blue", mdns.TypeA, "forward"},
		{"db.corp", mdns.TypeA, "forward"},
		{"red", mdns.TypeA, "forward"},
		{"blue.corp", mdns.TypeA, "forward"},
		{"unknown", mdns.TypeA, "forward"},
		{"db.example.com", mdns.TypeA, "forward"},
		{`d\.b`, mdns.TypeA, "forward"},
		{`db\.red`, mdns.TypeA, "forward"},
		{`db\/`, mdns.TypeA, "forward"},
		{`\.\.`, mdns.TypeA, "forward"},
		{".", mdns.TypeNS, "forward"},
		// Addresses.
		{"2.0.18.172.in-addr.arpa", mdns.TypePTR, "NOERROR; 2.0.18.172.in-addr.arpa. 5 IN PTR DB.red."},
		{"2.0.18.172.IN-ADDR.ARPA", mdns.TypePTR, "NOERROR; 2.0.18.172.IN-ADDR.ARPA. 5 IN PTR DB.red."},
		{"2.0.18.172.in-addr.arpa", mdns.TypeA, "NOERROR"},
		{
			"6" + strings.Repeat(".0", 27) + ".0.0.d.f.ip6.arpa", mdns.TypePTR,
			"NOERROR; 6" + strings.Repeat(".0", 27) + ".0.0.d.f.ip6.arpa. 5 IN PTR six.red.",
		},
		{
			"6" + strings.Repeat(".0", 27) + ".0.0.D.F.ip6.arpa", mdns.TypeANY,
			"NOERROR; 6" + strings.Repeat(".0", 27) + ".0.0.D.F.ip6.arpa. 5 IN PTR six.red.",
		},
		{"9.0.18.172.in-addr.arpa", mdns.TypePTR, "forward"},
		{"0.18.172.in-addr.arpa", mdns.TypePTR, "forward"},
		{"1.2.0.18.172.in-addr.arpa", mdns.TypePTR, "forward"},
		{"02.0.18.172.in-addr.arpa", mdns.TypePTR, "forward"},
		{"258.0.18.172.in-addr.arpa", mdns.TypePTR, "forward"},
		{"x.0.18.172.in-addr.arpa", mdns.TypePTR, "forward"},
		{"ip6.arpa", mdns.TypePTR, "forward"},
	} {
		t.Run(test.name+" "+mdns.TypeToString[test.qtype], func(t *testing.T) {
			if got, _ := tell(t, s, ask(test.name, test.qtype), 0); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestNdots(t *testing.T) {
	s := New(Config{Networks: newZones(t), NdotsSet: true}, nil)
	defer s.closeZones()
	for _, test := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"unknown", mdns.TypeA, "NOERROR"},
		{"unknown", mdns.TypeAAAA, "NOERROR"},
		{"unknown", mdns.TypeMX, "forward"},
		{"unknown.example", mdns.TypeA, "forward"},
		{".", mdns.TypeA, "forward"},
		{"db", mdns.TypeA, "NOERROR; db. 5 IN A 172.18.0.2"},
	} {
		if got, _ := tell(t, s, ask(test.name, test.qtype), 0); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

// TestFlags: dig shows "qr rd ra", whatever else it asked with.
func TestFlags(t *testing.T) {
	s := New(Config{Networks: newZones(t)}, nil)
	defer s.closeZones()
	for _, rd := range []bool{true, false} {
		m := ask("db", mdns.TypeA)
		m.RecursionDesired, m.AuthenticatedData, m.Zero = rd, true, true
		_, r := tell(t, s, m, 0)
		if r.RecursionDesired != rd || !r.RecursionAvailable || r.Authoritative || r.AuthenticatedData || r.Truncated || r.Zero {
			t.Errorf("rd %v: flags of %v", rd, r.MsgHdr)
		}
		if len(r.Question) != 1 || r.Question[0] != m.Question[0] || len(r.Ns)+len(r.Extra) != 0 {
			t.Errorf("reply %v", r)
		}
	}
}

func TestEDNS(t *testing.T) {
	s := New(Config{Networks: newZones(t)}, nil)
	defer s.closeZones()
	for _, name := range []string{"db", "web.red"} {
		m := ask(name, mdns.TypeA)
		m.SetEdns0(4096, true)
		m.Extra[0].(*mdns.OPT).Option = []mdns.EDNS0{&mdns.EDNS0_COOKIE{Code: mdns.EDNS0COOKIE, Cookie: "0123456789abcdef"}}
		text, r := tell(t, s, m, 0)
		if name != "db" {
			if text != "forward" {
				t.Errorf("%s: %s", name, text)
			}
			continue
		}
		if o := r.IsEdns0(); o == nil || o.Version() != 0 || o.UDPSize() != ourPayload || o.Do() || len(r.Extra) != 1 {
			t.Errorf("OPT of %v", r)
		}
	}
	m := ask("db", mdns.TypeA)
	m.SetEdns0(4096, false)
	m.IsEdns0().SetVersion(1)
	if text, r := tell(t, s, m, 0); r == nil || r.Rcode != mdns.RcodeBadVers || r.IsEdns0() == nil {
		t.Errorf("version 1: %s, %v", text, r)
	}
}

// TestTruncation: replies hold what the client can take, and say so if that is not all.
func TestTruncation(t *testing.T) {
	z := names.Zone{Dir: t.TempDir()}
	const count = 300
	for i := range count {
		addr := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		if err := z.Add("many", addr, owner("many")); err != nil {
			t.Fatal(err)
		}
	}
	s := New(Config{Networks: []Network{{Name: "n", Zone: z.Dir}}}, nil)
	defer s.closeZones()
	for _, test := range []struct {
		edns  uint16
		limit int // of the protocol
		size  int // which the reply may have
		whole bool
	}{
		{0, 0, 512, false},
		{100, 0, 512, false},
		{512, 0, 512, false},
		{1232, 0, 1232, false},
		{4096, 0, 4096, false},
		{16384, 0, 16384, true},
		{0, maxMessage, maxMessage, true},
	} {
		m := ask("many", mdns.TypeA)
		if test.edns > 0 {
			m.SetEdns0(test.edns, false)
		}
		_, r := tell(t, s, m, test.limit)
		r.Compress = true
		size := r.Len()
		if size > test.size || !test.whole && size < test.size-16 || r.Truncated == test.whole {
			t.Errorf("EDNS %d: %d bytes, truncated %v", test.edns, size, r.Truncated)
		}
		if test.whole && len(r.Answer) != count {
			t.Errorf("EDNS %d: %d records", test.edns, len(r.Answer))
		}
	}
}

// TestShuffle: each address of a name comes first at times.
func TestShuffle(t *testing.T) {
	s := New(Config{Networks: newZones(t)}, nil)
	defer s.closeZones()
	first := map[string]int{}
	for range 100 { // the chance that one of two never leads is 2^-99
		_, r := tell(t, s, ask("web", mdns.TypeA), 0)
		first[r.Answer[0].(*mdns.A).A.String()]++
	}
	if len(first) != 2 {
		t.Errorf("first ones: %v", first)
	}
}

// TestExact: an entry counts from the moment that it is there until the moment that it is not, also with a server that looked
// it up before.
func TestExact(t *testing.T) {
	z := names.Zone{Dir: filepath.Join(t.TempDir(), "names")}
	s := New(Config{Networks: []Network{{Name: "n", Zone: z.Dir, TTL: 5}}}, nil)
	defer s.closeZones()
	for i := range 3 {
		if got, _ := tell(t, s, ask("db", mdns.TypeA), 0); got != "forward" {
			t.Errorf("before: %q", got)
		}
		addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
		if err := z.Add("db", addr, owner("db")); err != nil {
			t.Fatal(err)
		}
		if got, _ := tell(t, s, ask("db", mdns.TypeA), 0); got != fmt.Sprintf("NOERROR; db. 5 IN A %s", addr) {
			t.Errorf("there: %q", got)
		}
		if err := z.Remove("db", addr, "db"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReconfigure: the next question meets the new networks.
func TestReconfigure(t *testing.T) {
	zones := newZones(t)
	s := New(Config{Networks: zones[:1]}, nil)
	defer s.closeZones()
	for _, test := range []struct {
		networks []Network
		want     string
	}{
		{zones[1:], "NOERROR; db. 600 IN A 172.19.0.2"}, {nil, "forward"}, {zones, "NOERROR; db. 5 IN A 172.18.0.2"},
	} {
		s.Reconfigure(Config{Networks: test.networks})
		if got, _ := tell(t, s, ask("db", mdns.TypeA), 0); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
