package network

import (
	"net/netip"
	"strings"
	"testing"
)

func TestElect(t *testing.T) {
	t.Parallel()
	v4, v6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")
	at := func(name string, priority int, internal bool, gateways ...netip.Addr) *attachment {
		a := &attachment{
			spec: EndpointSpec{GwPriority: priority}, network: Spec{Name: name, Internal: internal}, Endpoint: &Endpoint{},
		}
		for _, g := range gateways {
			if g.Is4() {
				a.Gateway4 = g
			} else {
				a.Gateway6 = g
			}
		}
		return a
	}
	for name, tc := range map[string]struct {
		all  []*attachment
		want string
	}{
		"by name":                       {[]*attachment{at("b", 0, false, v4), at("a", 0, false, v4)}, "a b"},
		"two gateways before one":       {[]*attachment{at("a", 0, false, v4), at("b", 0, false, v4, v6)}, "b a"},
		"one gateway before none":       {[]*attachment{at("a", 0, false), at("b", 0, false, v6)}, "b a"},
		"internal last":                 {[]*attachment{at("a", 0, true), at("b", 0, false)}, "b a"},
		"priority before all else":      {[]*attachment{at("a", 0, false, v4, v6), at("b", 1, true)}, "b a"},
		"a negative priority last":      {[]*attachment{at("a", -1, false, v4), at("b", 0, true)}, "b a"},
		"priorities at the far ends":    {[]*attachment{at("a", -1<<63, false), at("b", 1<<63-1, false)}, "b a"},
		"three, in the order of Docker": {[]*attachment{at("z", 0, false, v4), at("i", 0, true), at("a", 0, false, v4)}, "a z i"},
	} {
		var got []string
		for _, a := range elect(tc.all) {
			got = append(got, a.network.Name)
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %v, want %s", name, got, tc.want)
		}
	}
}

func TestInterfaceNames(t *testing.T) {
	t.Parallel()
	at := func(asked, prefix string) *attachment {
		return &attachment{spec: EndpointSpec{Interface: asked}, options: options{ifacePrefix: prefix}, Endpoint: &Endpoint{}}
	}
	for name, tc := range map[string]struct {
		all  []*attachment
		want string // empty: refused
	}{
		"in order":           {[]*attachment{at("", "eth"), at("", "eth"), at("", "eth")}, "eth0 eth1 eth2"},
		"prefixes":           {[]*attachment{at("", "eth"), at("", "net"), at("", "eth")}, "eth0 net0 eth1"},
		"one is asked for":   {[]*attachment{at("", "eth"), at("eth0", "eth")}, "eth1 eth0"},
		"twice the same":     {[]*attachment{at("x", "eth"), at("x", "eth")}, ""},
		"lo":                 {[]*attachment{at("lo", "eth")}, ""},
		"a path":             {[]*attachment{at("a/b", "eth")}, ""},
		"a kernel's pattern": {[]*attachment{at("eth%d", "eth")}, ""},
		"too long":           {[]*attachment{at("0123456789abcdef", "eth")}, ""},
	} {
		err := nameInterfaces(tc.all)
		var got []string
		for _, a := range tc.all {
			got = append(got, a.Interface)
		}
		if (err != nil) != (tc.want == "") || err == nil && strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestMACOf(t *testing.T) {
	t.Parallel()
	if got := macOf(netip.MustParseAddr("172.17.0.2"), netip.MustParseAddr("fd00::2")).String(); got != "02:42:ac:11:00:02" {
		t.Errorf("the MAC of 172.17.0.2 is %s", got)
	}
	one, two := macOf(netip.Addr{}, netip.MustParseAddr("fd00::2")), macOf(netip.Addr{}, netip.MustParseAddr("fd00::3"))
	if one.String() == two.String() || !strings.HasPrefix(one.String(), "02:42:") {
		t.Errorf("the MACs of two IPv6 addresses are %s and %s", one, two)
	}
}

func TestMarks(t *testing.T) {
	t.Parallel()
	for _, tag := range []string{"", "0badcafe"} {
		if id, ok := markedID(tag, mark(tag, "abc")); !ok || id != "abc" {
			t.Errorf("the mark of tag %q reads as %q, %t", tag, id, ok)
		}
	}
	for tag, alias := range map[string]string{"": mark("0badcafe", "abc"), "0badcafe": mark("", "abc"), "0badcaf": mark("0badcafe", "abc")} {
		if id, ok := markedID(tag, alias); ok {
			t.Errorf("tag %q takes %q for its own: %q", tag, alias, id)
		}
	}
}

// A name that passes is a file's name in one folder, and no option.
func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"mynet", "..", ".", "", "-x", "a/b", "a\x00", "ä", strings.Repeat("a", 300), "a.b_c-d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if checkName(s) != nil {
			return
		}
		if s == "" || len(s) > 128 || strings.ContainsAny(s, "/\x00 \n:") || s[0] == '.' || s[0] == '-' {
			t.Errorf("%q is a name", s)
		}
	})
}
