package firewall

import (
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLegacyUnreadable says that a table is in use which cannot be read, or understood.
func TestLegacyUnreadable(t *testing.T) {
	networks := []Network{{Bridge: "ctr0", Prefixes: []netip.Prefix{netip.MustParsePrefix("172.17.0.0/16")}}}
	for want, table := range map[string]legacyFilter{
		"operation not permitted": {legacyLayout: legacyLayouts[0], err: unix.EPERM},
		"malformed table":         {legacyLayout: legacyLayouts[0], entries: make([]byte, 8)},
	} {
		got := table.check(networks)
		if len(got) != 1 || got[0].Cure || !strings.HasPrefix(got[0].Text, "the table filter of iptables-legacy is in use and cannot be read") ||
			!strings.Contains(got[0].Text, want) {
			t.Errorf("%s: %v", want, got)
		}
	}
}

// FuzzLegacy walks tables that no kernel hands out.
func FuzzLegacy(f *testing.F) {
	f.Add(true, uint32(0), make([]byte, 400))
	f.Add(false, uint32(8), make([]byte, 40))
	f.Fuzz(func(_ *testing.T, six bool, begin uint32, entries []byte) {
		t := legacyFilter{legacyLayout: legacyLayouts[0], entries: entries}
		if six {
			t.legacyLayout = legacyLayouts[1]
		}
		t.begin[legacyForward], t.policy[legacyForward] = begin, begin/2
		_, _ = t.drops(legacyForward, passage{in: "ctr0"})
	})
}
