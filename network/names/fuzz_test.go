package names

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
)

func FuzzName(f *testing.F) {
	for _, name := range []string{"db", "a.b", "..", "a/../b", "%", "A\x00", strings.Repeat("x", 64)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		file, ok := appendFileName(nil, name)
		if !ok {
			return
		}
		if len(file) == 0 || len(file) > maxFileName || file[0] == '.' || strings.ContainsAny(string(file), "/\x00") {
			t.Errorf("%q: file name %q", name, file)
		}
		same, ok := appendFileName(nil, []byte(strings.TrimSuffix(strings.ToLower(name), ".")))
		if ok && strings.ToValidUTF8(name, "") == name && isASCII(name) && string(same) != string(file) {
			t.Errorf("%q: %q in lower case, %q as it is", name, same, file)
		}
	})
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 127 })
}

func FuzzEntry(f *testing.F) {
	f.Add([]byte("id:1:2"))
	f.Add([]byte("id:1:2:name:with:colons"))
	f.Fuzz(func(t *testing.T, text []byte) {
		id, p, rest, ok := parseOwner(text)
		if !ok {
			return
		}
		o := Owner{ID: string(id), Process: p}
		id2, p2, rest2, ok := parseOwner([]byte(o.String() + ":" + string(rest)))
		if !ok || !bytes.Equal(id2, id) || p2 != p || !bytes.Equal(rest2, rest) {
			t.Errorf("%q: %v and %q, then %q, %v and %q", text, o, rest, id2, p2, rest2)
		}
	})
}

func FuzzAddr(f *testing.F) {
	for _, text := range []string{"172.18.0.2", "fd00::2", "1.2.3", "1.2.3.4.5", "1..2.3", "1.2.3.", "256.1.1.1", "::ffff:1.2.3.4"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		addr, ok := parseAddr(text)
		want, err := netip.ParseAddr(string(text))
		if ok != (err == nil) || addr != want {
			t.Errorf("%q: %v, %v; the library: %v, %v", text, addr, ok, want, err)
		}
	})
}
