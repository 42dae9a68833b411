package dns

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"ctr/internal/testhost"
)

// TestResolvConfChanges: the host's resolv.conf is followed, however it is written.
func TestResolvConfChanges(t *testing.T) {
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		startServer(t, here{}, "127.0.1.1:53", says("192.0.2.1"))
		startServer(t, here{}, "127.0.1.2:53", says("192.0.2.2"))
		path := resolvConfOf(t, "127.0.1.1")
		s := serve(t, Config{ResolvConf: path})
		for i := range 20 { // in place, of the same size, faster than file times advance
			n := i%2 + 1
			writeResolvConf(t, path, fmt.Sprintf("127.0.1.%d", n))
			if got, want := s.resolve(t, "www.example"), fmt.Sprintf("NOERROR 192.0.2.%d", n); got != want {
				t.Fatalf("change %d: got %q, want %q", i, got, want)
			}
		}
		old := time.Now().Add(-time.Hour)
		for i := range 4 { // renamed into place, with a time stamp that is kept
			n := i%2 + 1
			next := resolvConfOf(t, fmt.Sprintf("127.0.1.%d", n))
			if err := os.Chtimes(next, old, old); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(next, path); err != nil {
				t.Fatal(err)
			}
			if got, want := s.resolve(t, "www.example"), fmt.Sprintf("NOERROR 192.0.2.%d", n); got != want {
				t.Fatalf("rename %d: got %q, want %q", i, got, want)
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if got := s.resolve(t, "www.example"); got != "SERVFAIL" {
			t.Errorf("removed: %q", got)
		}
		writeResolvConf(t, path, "127.0.1.1")
		if got := s.resolve(t, "www.example"); got != "NOERROR 192.0.2.1" {
			t.Errorf("made again: %q", got)
		}
	})
}

// TestSettled: a time stamp is trusted only if it is so old that a change since would have another one.
func TestSettled(t *testing.T) {
	path := resolvConfOf(t, "127.0.1.1")
	var r resolvConf
	now := time.Now()
	if r.servers(path, now); r.stable {
		t.Error("just written: trusted")
	}
	if r.servers(path, now.Add(2*settled)); !r.stable {
		t.Error("written long ago: not trusted")
	}
	r.list = nil
	if list := r.servers(path, now); list != nil {
		t.Errorf("read again: %v", list)
	}
}

func TestParseServers(t *testing.T) {
	for text, want := range map[string]string{
		"":                     "[]",
		"nameserver 192.0.2.1": "[192.0.2.1:53]",
		"# nameserver 192.0.2.1\n;nameserver 192.0.2.1\nsearch nameserver\n":                       "[]",
		" \tnameserver\t192.0.2.1 # comment\r\n":                                                   "[192.0.2.1:53]",
		"nameserver fe80::1%eth0\nnameserver ::1\n":                                                "[[fe80::1%eth0]:53 [::1]:53]",
		"nameserver dns.example\nnameserver 300.1.1.1\nnameserver\nnameserver 192.0.2.1\n":         "[192.0.2.1:53]",
		"nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n": "[192.0.2.1:53 192.0.2.2:53 192.0.2.3:53]",
		"nameservers 192.0.2.1\n":                                                                  "[]",
	} {
		if got := fmt.Sprint(parseServers(strings.NewReader(text))); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func FuzzParseServers(f *testing.F) {
	f.Add("nameserver 192.0.2.1\nnameserver fe80::1%eth0")
	f.Fuzz(func(t *testing.T, text string) {
		list := parseServers(strings.NewReader(text))
		if len(list) > maxServers || slices.ContainsFunc(list, func(a netip.AddrPort) bool { return !a.IsValid() || a.Port() != port }) {
			t.Errorf("%q: %v", text, list)
		}
	})
}
