package userns

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ctr/internal/idmap"
)

func tables(t *testing.T, uid, gid string) Files {
	t.Helper()
	f := Files{filepath.Join(t.TempDir(), "subuid"), filepath.Join(t.TempDir(), "subgid")}
	for path, text := range map[string]string{f.UID: uid, f.GID: gid} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func text(ranges []idmap.Range) string {
	var out []string
	for _, r := range ranges {
		out = append(out, fmt.Sprintf("%d:%d:%d", r.Inside, r.Outside, r.Size))
	}
	return strings.Join(out, " ")
}

func TestChoose(t *testing.T) {
	t.Parallel()
	const shadow = "user:100000:65536\nsplit:300000:1000\nsplit:400000:64536\nroot:0:65536\n"
	web := Taken{"web", "auto", single(poolFirst, 65536)}
	gap := Taken{"gap", "700000:5", single(700000, 5)}
	named := Taken{"named", "remap:user", single(100000, 65536)}
	for _, test := range []struct {
		mode      string
		table     string
		others    []Taken
		want, err string
	}{
		{"auto", shadow, nil, "0:524288:65536", ""},
		{"auto", "", []Taken{web}, "0:589824:65536", ""},
		{"auto:size=200000", "", []Taken{web, gap}, "0:700005:200000", ""},
		{"auto:size=10", "x:524288:100000\n", nil, "0:624288:10", ""},
		{"auto", "ctr:200000:65536\n", nil, "0:200000:65536", ""},
		{"auto", "ctr:200000:65535\n", nil, "", "no 65536 users in a row are free"},
		{"auto:size=100", "ctr:524288:65536\nctr:900000:100\n", []Taken{web}, "0:900000:100", ""},
		{"auto:size=4000000000", "", nil, "", "no 4000000000 users in a row are free"},
		{"remap:user", shadow, nil, "0:100000:65536", ""},
		{"remap:user", shadow, []Taken{named}, "0:100000:65536", ""},
		{"remap:split", shadow, []Taken{named}, "0:300000:1000 1000:400000:64536", ""},
		{"remap:user", shadow, []Taken{{"other", "100001:5", single(100001, 5)}}, "", "container other has some of them"},
		{"remap:root", shadow, nil, "", "protects nothing"},
		{"remap:none", shadow, nil, "", `no range of IDs for "none"`},
		{"100000:65536", shadow, []Taken{named}, "", "--userns container:named shares them knowingly"},
		{"100000:65536", shadow, nil, "0:100000:65536", ""},
		{"700004:1", "", []Taken{gap}, "", "container gap has some of them"},
		{"700005:1", "", []Taken{gap}, "0:700005:1", ""},
		{"4294967295:1", "", nil, "", "no such range of IDs"},
	} {
		got, err := tables(t, test.table, test.table).Choose(test.mode, test.others)
		switch {
		case test.err == "" && err != nil, test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
			t.Errorf("%s: got error %v, want %q", test.mode, err, test.err)
		case err == nil && (text(got.UIDs) != test.want || text(got.GIDs) != test.want):
			t.Errorf("%s: got %s and %s, want %s", test.mode, text(got.UIDs), text(got.GIDs), test.want)
		}
	}
	_, err := tables(t, "ctr:200000:65536\n", "ctr:300000:65536\n").Choose("auto", nil)
	if err == nil || !strings.Contains(err.Error(), "differ") {
		t.Errorf("users and groups of other numbers: got %v", err)
	}
	nowhere := Files{"/nowhere/subuid", "/nowhere/subgid"}
	if _, err := nowhere.Choose("auto", nil); err != nil {
		t.Errorf("no tables: %v", err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{
		"", "remap", "remap:", "remap:a:b", "auto:", "auto:size=", "auto:size=0", "auto:size=-1", "auto:size=4294967296", "auto:5",
		"0:5", "5:0", "5:", ":5", "5", "5:5:5", "-1:5", "5:+5", "1.5:2", "nomap", "private", "keep-id",
	} {
		if err := Check(mode); err == nil || !strings.HasPrefix(err.Error(), "invalid USER mode ") {
			t.Errorf("%q: got %v", mode, err)
		}
	}
}

// Whatever the tables hold, a range that is chosen is whole, holds no root of the host, and is nobody else's.
func FuzzTables(f *testing.F) {
	f.Add("ctr:100000:65536\n", uint32(65536))
	f.Add("a:524288:1\nb:4294967295:1\n:::\nctr:1:1:1\n", uint32(1))
	f.Fuzz(func(t *testing.T, table string, size uint32) {
		entries, err := parseTable(strings.NewReader(table))
		if err != nil {
			return
		}
		others := []Taken{{"web", "auto", single(poolFirst, 65536)}}
		m, err := tables(t, table, table).Choose(fmt.Sprintf("auto:size=%d", size), others)
		if err != nil {
			return
		}
		if err := m.Check(); err != nil {
			t.Fatalf("%s: %v", text(m.UIDs), err)
		}
		if m.Overlap(others[0].IDs) || m.UIDs[0].Size != size {
			t.Fatalf("got %s", text(m.UIDs))
		}
		for _, e := range entries {
			if e.name != poolName && m.Overlap(idmap.Map{UIDs: []idmap.Range{e.Range}}) && !strings.Contains(table, poolName+":") {
				t.Fatalf("got %s, which is that of %q", text(m.UIDs), e.name)
			}
		}
	})
}
