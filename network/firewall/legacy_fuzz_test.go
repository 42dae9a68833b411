package firewall

import "testing"

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
