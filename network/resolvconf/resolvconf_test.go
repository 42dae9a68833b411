package resolvconf

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a golden file.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
	}
}

func addrs(texts ...string) (all []netip.Addr) {
	for _, s := range texts {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

const usual = `# a comment
; another
nameserver 192.0.2.1
nameserver 2001:db8::1
nameserver 127.0.0.1
domain ignored.example
search example.com example.net
options edns0 trust-ad
sortlist 192.0.2.0/24
`

func TestFiles(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		host string
		s    Source
		make func(Source) []byte
	}{
		"resolver":              {usual, Source{}, Source.Resolver},
		"resolver-stub":         {"nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n", Source{}, Source.Resolver},
		"resolver-empty":        {"", Source{}, Source.Resolver},
		"resolver-host-ndots":   {usual + "options ndots:3\n", Source{}, Source.Resolver},
		"resolver-bad-ndots":    {usual + "options ndots:x\n", Source{}, Source.Resolver},
		"resolver-overrides":    {usual, Source{Servers: addrs("192.0.2.9"), Search: []string{"."}, Options: []string{"ndots:2"}}, Source.Resolver},
		"direct":                {usual, Source{}, func(s Source) []byte { return s.Direct(false) }},
		"direct-ipv6":           {usual, Source{}, func(s Source) []byte { return s.Direct(true) }},
		"direct-none-left":      {"nameserver 127.0.0.1\nnameserver ::1\nnameserver fe80::1%eth0\nsearch lan\n", Source{}, func(s Source) []byte { return s.Direct(true) }},
		"direct-overrides":      {usual, Source{Servers: addrs("127.0.0.1"), Search: []string{"a", "b"}}, func(s Source) []byte { return s.Direct(false) }},
		"host-network-override": {usual, Source{Options: []string{"timeout:1"}}, Source.Copy},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.s.Path, tc.s.Host = "/etc/resolv.conf", Parse([]byte(tc.host))
			golden(t, name+".conf", tc.make(tc.s))
		})
	}
}

// A search list or option from the command line cannot smuggle a line in.
func TestOverridesStayOneLine(t *testing.T) {
	t.Parallel()
	s := Source{Path: "/etc/resolv.conf", Search: []string{"a\nnameserver 192.0.2.66"}, Options: []string{"b\r\nc"}}
	if got := Parse(s.Direct(false)); len(got.Servers) != 0 {
		t.Errorf("servers %v", got.Servers)
	}
}

func TestUsesStub(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"nameserver 127.0.0.53\n":                       true,
		"nameserver 127.0.0.53\nnameserver 192.0.2.1\n": false,
		"nameserver 127.0.0.1\n":                        false,
		"":                                              false,
		"#nameserver 192.0.2.1\nnameserver 127.0.0.53 # x": true,
	} {
		if got := Parse([]byte(text)).UsesStub(); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

func TestNdotsSet(t *testing.T) {
	t.Parallel()
	for options, want := range map[string]bool{"ndots:1": true, "ndots:0": true, "ndots:": false, "ndots:-1": false, "edns0": false} {
		if got := (Source{Options: []string{options}}).NdotsSet(); got != want {
			t.Errorf("%s: %t", options, got)
		}
		if got := (Source{Host: Parse([]byte("options " + options))}).NdotsSet(); got != want {
			t.Errorf("of the host, %s: %t", options, got)
		}
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	extra := []Host{{netip.MustParseAddr("192.0.2.7"), []string{"seven"}}}
	own := []Host{
		{netip.MustParseAddr("172.18.0.2"), []string{"web.example.com", "web"}},
		{netip.MustParseAddr("fd00::2"), []string{"web.example.com", "web"}},
	}
	golden(t, "hosts", Hosts(true, extra, own))
	golden(t, "hosts-ipv4", Hosts(false, nil, own[:1]))
	if got := string(Hosts(false, []Host{{netip.MustParseAddr("192.0.2.7"), []string{"a\n192.0.2.8 b"}}}, nil)); strings.Count(got, "\n") != 2 {
		t.Errorf("a name made a line of its own:\n%s", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(usual))
	f.Add([]byte("nameserver\x00 1.2.3.4\nsearch \x1b[0m\noptions ndots:99999999999999999999"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := Source{Path: "/etc/resolv.conf", Host: Parse(text)}
		for _, out := range [][]byte{s.Direct(true), s.Resolver(), s.Copy()} {
			if bytes.ContainsAny(out, "\x00\x1b\r") {
				t.Errorf("control characters in %q", out)
			}
			Parse(out)
		}
		if got := Parse(s.Resolver()).Servers; !slices.Equal(got, []netip.Addr{Internal}) {
			t.Errorf("the resolver's file names %v", got)
		}
		for _, a := range Parse(s.Direct(true)).Servers {
			if a.IsLoopback() {
				t.Errorf("a container is sent to %s", a)
			}
		}
		// What was written reads as what was read.
		if again := Parse(s.Copy()); len(text) < MaxSize/4 &&
			(!slices.Equal(again.Servers, s.Host.Servers) || !slices.Equal(again.Options, s.Host.Options)) {
			t.Errorf("%+v became %+v", s.Host, again)
		}
	})
}

func TestValidDomain(t *testing.T) {
	t.Parallel()
	for domain, want := range map[string]bool{
		"lan": true, "corp.example": true, "corp.example.": true, "a-b.c3": true, "3com.example": true,
		"": false, ".": false, "..": false, "a..b": false, ".a": false, "-a.b": false, "a-.b": false, "1.2": false, "a b": false, "a\nb": false,
		"a_b": false, strings.Repeat("a", 63): true, strings.Repeat("a", 64): false, strings.Repeat("abc.", 63) + "a": true, strings.Repeat("abc.", 63) + "ab": false,
	} {
		if got := ValidDomain(domain); got != want {
			t.Errorf("%q: %v", domain, got)
		}
	}
}
