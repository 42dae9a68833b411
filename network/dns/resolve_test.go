package dns

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"ctr/internal/testhost"
)

func TestResolve(t *testing.T) {
	c := Config{Networks: newZones(t)}
	for _, test := range []struct {
		name  string
		qtype uint16
		want  string // forwarded, network, containers
	}{
		{"db", mdns.TypeA, "false red [{db-red 172.18.0.2 }]"},
		{"db.blue.corp.", mdns.TypeA, "false blue.corp [{db-blue 172.19.0.2 }]"},
		{"web", mdns.TypeA, "false blue.corp [{web 172.19.0.3 } {web2 172.19.0.4 }]"},
		{"web", mdns.TypeAAAA, "false blue.corp [{web invalid IP }]"},
		{"six", mdns.TypeMX, "false red [{six invalid IP }]"},
		{"2.0.18.172.in-addr.arpa", mdns.TypePTR, "false red [{of DB invalid IP DB.red.}]"},
		{"unknown", mdns.TypeA, "true  []"},
	} {
		a, err := Resolve(t.Context(), c, nil, test.name, test.qtype)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if test.qtype == mdns.TypeAAAA {
			a.Containers[0].ID = "web" // or web2: whichever the folder holds first
		}
		slices.SortFunc(a.Containers, func(a, b Container) int { return strings.Compare(a.ID, b.ID) })
		if got := fmt.Sprint(a.Forwarded, " ", a.Network, " ", a.Containers); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
		var m mdns.Msg
		if err := m.Unpack(a.Message); err != nil || (m.Rcode == mdns.RcodeSuccess) == a.Forwarded {
			t.Errorf("%s: message %v, %v", test.name, &m, err)
		}
		for _, rr := range m.Answer {
			if rr, ok := rr.(*mdns.A); ok && !slices.ContainsFunc(a.Containers, func(c Container) bool { return c.Addr.String() == rr.A.String() }) {
				t.Errorf("%s: %v is not in %v", test.name, rr, a.Containers)
			}
		}
	}
	if _, err := Resolve(t.Context(), c, nil, "a..b", mdns.TypeA); err == nil {
		t.Error("malformed name: no error")
	}
	if _, err := Resolve(t.Context(), Config{Networks: []Network{{Name: "n", Zone: "/dev/null"}}}, nil, "db", mdns.TypeA); err == nil {
		t.Error("zone that cannot be read: no error")
	}
}

// TestResolveForwards: what no container is called comes from the servers that a container would be told from.
func TestResolveForwards(t *testing.T) {
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		startServer(t, here{}, "127.0.1.1:53", says("192.0.2.1"))
		a, err := Resolve(t.Context(), Config{ResolvConf: resolvConfOf(t, "127.0.1.1")}, nil, "www.example", mdns.TypeA)
		var m mdns.Msg
		if err != nil || m.Unpack(a.Message) != nil || !a.Forwarded || summary(&m) != "NOERROR 192.0.2.1" {
			t.Errorf("%v, %v", a, err)
		}
	})
}

func TestConfigJSON(t *testing.T) {
	want := Config{
		Networks:   []Network{{Name: "mynet", Zone: "/run/ctr/networks/x/names", TTL: 5}},
		ResolvConf: "/etc/resolv.conf",
		Servers:    []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53"), netip.MustParseAddrPort("[fe80::1%eth0]:53")},
		Internal:   true,
		NdotsSet:   true,
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Config
	if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %v, %v", text, got, err)
	}
}
