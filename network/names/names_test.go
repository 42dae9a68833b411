package names

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/internal/proc"
)

var (
	v4  = netip.MustParseAddr("172.18.0.2")
	v4b = netip.MustParseAddr("172.18.0.3")
	v6  = netip.MustParseAddr("fd00::2")
)

func self(id string) Owner { return Owner{ID: id, Process: proc.Self()} }

// process starts a process that runs until the test ends or it is killed.
func process(tb testing.TB) (*exec.Cmd, proc.ID) {
	tb.Helper()
	cmd := exec.Command("cat")
	if _, err := cmd.StdinPipe(); err != nil { // which nobody closes before the end of the test
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	id, err := proc.Of(cmd.Process.Pid)
	if err != nil {
		tb.Fatal(err)
	}
	return cmd, id
}

// kill ends a process and waits until it is a zombie, but leaves it one.
func kill(tb testing.TB, cmd *exec.Cmd) {
	tb.Helper()
	if err := cmd.Process.Kill(); err != nil {
		tb.Fatal(err)
	}
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		tb.Fatal(err)
	}
}

// ask returns the addresses of a name as text, sorted.
func ask(tb testing.TB, r *Reader, name string) string {
	tb.Helper()
	entries, err := r.Lookup(nil, []byte(name))
	if err != nil {
		tb.Fatal(err)
	}
	var addrs []string
	for _, e := range entries {
		addrs = append(addrs, e.Addr.String())
	}
	slices.Sort(addrs)
	return strings.Join(addrs, " ")
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// files returns every path in the zone's folder, for "nothing is left".
func files(tb testing.TB, z Zone) []string {
	tb.Helper()
	var paths []string
	err := filepath.WalkDir(z.Dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && path != z.Dir {
			paths = append(paths, strings.TrimPrefix(path, z.Dir+"/"))
		}
		return err
	})
	must(tb, err)
	return paths
}

func TestLookup(t *testing.T) {
	z := Zone{Dir: filepath.Join(t.TempDir(), "names")}
	r := z.Reader()
	defer r.Close()
	if got := ask(t, r, "db"); got != "" {
		t.Errorf("zone that is not there: %q", got)
	}
	must(t, z.Add("DB", v4, self("one")))
	must(t, z.Add("db", v4, self("one")))
	must(t, z.Add("db", v6, self("one")))
	must(t, z.Add("db", v4b, self("two")))
	must(t, z.Add("a.b_c-1", netip.MustParseAddr("::ffff:10.0.0.1"), self("one")))
	for name, want := range map[string]string{
		"db":         "172.18.0.2 172.18.0.3 fd00::2",
		"Db.":        "172.18.0.2 172.18.0.3 fd00::2",
		"A.B_C-1":    "10.0.0.1",
		"":           "",
		".":          "",
		"..":         "",
		".addresses": "",
		".new":       "",
		"d":          "",
		"db/":        "",
		"db..":       "",
		"db/../db":   "",
		"*":          "",
	} {
		if got := ask(t, r, name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if info, err := os.Stat(filepath.Join(z.Dir, "db")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder of a name: %v, %v: want mode 0700", info, err)
	}
}

func TestOwnerOfEntry(t *testing.T) {
	z := Zone{Dir: t.TempDir()}
	must(t, z.Add("db", v4, self("one")))
	entries, exists, err := z.Lookup("db")
	if err != nil || !exists || len(entries) != 1 || entries[0] != (Entry{Addr: v4, Owner: self("one")}) {
		t.Errorf("look-up: %v, %v, %v", entries, exists, err)
	}
	must(t, z.Add("db", v4, self("two")))
	if entries, _, _ := z.Lookup("db"); len(entries) != 1 || entries[0].Owner.ID != "two" {
		t.Errorf("replaced: %v", entries)
	}
	if got := files(t, z); !slices.Equal(got, []string{"db", "db/172.18.0.2"}) {
		t.Errorf("files: %q", got)
	}
}

func TestDeadOwner(t *testing.T) {
	z := Zone{Dir: t.TempDir()}
	r := z.Reader()
	defer r.Close()
	cmd, id := process(t)
	must(t, z.Add("db", v4, Owner{ID: "one", Process: id}))
	must(t, z.SetReverse(v4, "db", Owner{ID: "one", Process: id}))
	must(t, z.Add("db", v4b, self("two")))
	if got := ask(t, r, "db"); got != "172.18.0.2 172.18.0.3" {
		t.Fatalf("both alive: %q", got)
	}
	kill(t, cmd)
	if got := ask(t, r, "db"); got != "172.18.0.3" {
		t.Errorf("one is a zombie: %q", got)
	}
	if name, _, exists, err := r.Reverse(v4); exists || err != nil {
		t.Errorf("address of a zombie: %q, %v", name, err)
	}
	if got, _, err := z.Lookup("db"); len(got) != 1 || err != nil {
		t.Errorf("zombie, without a reader: %v, %v", got, err)
	}
	must(t, z.Add("other", v4, Owner{ID: "three", Process: proc.ID{PID: os.Getpid(), Start: 1}}))
	if got := ask(t, r, "other"); got != "" {
		t.Errorf("a PID that was used again: %q", got)
	}
	must(t, z.sweep(dead))
	if got := files(t, z); !slices.Equal(got, []string{"db", "db/172.18.0.3"}) {
		t.Errorf("after the sweep: %q", got)
	}
}

// TestAddSweeps: who adds an address to a name takes those of the dead away.
func TestAddSweeps(t *testing.T) {
	z := Zone{Dir: t.TempDir()}
	cmd, id := process(t)
	must(t, z.Add("db", v4, Owner{ID: "one", Process: id}))
	kill(t, cmd)
	must(t, z.Add("db", v4b, self("two")))
	if got := files(t, z); !slices.Equal(got, []string{"db", "db/172.18.0.3"}) {
		t.Errorf("files: %q", got)
	}
}

func TestRemove(t *testing.T) {
	z := Zone{Dir: t.TempDir()}
	must(t, Zone{Dir: z.Dir + "/none"}.Remove("db", v4, "one"))
	must(t, Zone{Dir: z.Dir + "/none"}.RemoveOwner("one"))
	must(t, z.Add("db", v4, self("one")))
	must(t, z.SetReverse(v4, "db", self("one")))
	must(t, z.Remove("db", v4, "two"))
	must(t, z.RemoveReverse(v4, "two"))
	if got := files(t, z); len(got) != 4 {
		t.Errorf("somebody else's: %q", got)
	}
	for range 2 {
		must(t, z.Remove("DB", v4, "one"))
		must(t, z.RemoveReverse(v4, "one"))
		if got := files(t, z); len(got) != 0 {
			t.Errorf("left: %q", got)
		}
	}
	// What Add leaves when it is killed before the entry.
	must(t, os.Mkdir(filepath.Join(z.Dir, "db"), 0o700))
	must(t, z.Remove("db", v4, "one"))
	if got := files(t, z); len(got) != 0 {
		t.Errorf("an empty folder is left: %q", got)
	}
	for _, name := range []string{"db", "web", "x.y"} {
		must(t, z.Add(name, v4, self("one")))
		must(t, z.Add(name, v4b, self("two")))
	}
	must(t, z.SetReverse(v4, "db", self("one")))
	for range 2 {
		must(t, z.RemoveOwner("one"))
	}
	want := []string{"db", "db/172.18.0.3", "web", "web/172.18.0.3", "x.y", "x.y/172.18.0.3"}
	if got := files(t, z); !slices.Equal(got, want) {
		t.Errorf("after one is gone: %q", got)
	}
}

func TestReverse(t *testing.T) {
	z := Zone{Dir: t.TempDir()}
	must(t, z.SetReverse(v4, "Web:1", self("one")))
	must(t, z.SetReverse(v6, "web", self("one")))
	for _, addr := range []netip.Addr{v4, netip.MustParseAddr("::ffff:172.18.0.2")} {
		if name, o, exists, err := z.Reverse(addr); name != "Web:1" || o != self("one") || !exists || err != nil {
			t.Errorf("%s: %q, %v, %v, %v", addr, name, o, exists, err)
		}
	}
	if name, _, exists, err := z.Reverse(v4b); exists || err != nil {
		t.Errorf("nobody's address: %q, %v", name, err)
	}
	must(t, z.SetReverse(v4, "other", self("two")))
	if name, o, _, _ := z.Reverse(v4); name != "other" || o.ID != "two" {
		t.Errorf("replaced: %q of %q", name, o.ID)
	}
}

// TestUnaskable: names that no question can carry are no errors, and have no files.
func TestUnaskable(t *testing.T) {
	z := Zone{Dir: t.TempDir()}
	long := strings.Repeat("x", 63)
	for _, name := range []string{
		"", ".", "..", "a..b", ".a", "a..", strings.Repeat("x", 64), strings.Repeat("x.", 126) + "xx",
		strings.Repeat("/", 63) + "." + strings.Repeat("/", 63),
	} {
		must(t, z.Add(name, v4, self("one")))
		must(t, z.Remove(name, v4, "one"))
	}
	if got := files(t, z); len(got) != 0 {
		t.Errorf("files: %q", got)
	}
	longest := long + "." + long + "." + long + "." + strings.Repeat("x", 61)
	must(t, z.Add(longest, v4, self("one")))
	if _, exists, err := z.Lookup(strings.ToUpper(longest) + "."); !exists || err != nil {
		t.Errorf("253 bytes: %v, %v", exists, err)
	}
}

func TestOddNames(t *testing.T) {
	z := Zone{Dir: t.TempDir()}
	odd := []string{"a/b", "../x", "a\x00b", "a b", "%2f", "ä", "\xff", "a\nb", "..%"}
	for i, name := range odd {
		must(t, z.Add(name, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), self("one")))
	}
	r := z.Reader()
	defer r.Close()
	for i, name := range odd {
		want := fmt.Sprintf("10.0.0.%d", i)
		if strings.HasPrefix(name, ".") {
			want = "" // an empty label
		}
		if got := ask(t, r, name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	must(t, z.RemoveOwner("one"))
	if got := files(t, z); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}

func TestBadInput(t *testing.T) {
	z := Zone{Dir: filepath.Join(t.TempDir(), "names")}
	for name, err := range map[string]error{
		"no address":    z.Add("db", netip.Addr{}, self("one")),
		"zone":          z.Add("db", netip.MustParseAddr("fe80::1%eth0"), self("one")),
		"no ID":         z.Add("db", v4, self("")),
		"ID with colon": z.Add("db", v4, self("a:b")),
		"no process":    z.SetReverse(v4, "db", Owner{ID: "one"}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := os.Stat(z.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("zone was made: %v", err)
	}
}

// TestDamage: what nobody of us wrote is no answer, and goes with the next sweep.
func TestDamage(t *testing.T) {
	z := Zone{Dir: t.TempDir()}
	must(t, os.Mkdir(filepath.Join(z.Dir, "db"), 0o700))
	for file, text := range map[string]string{
		"172.18.0.2": "nonsense", "172.18.0.3": ":1:2", "172.18.0.4": "id:0:1", "172.18.0.5": "id:99999999999:1",
		"172.18.0.6": "id:1:x", "nonsense": self("one").String(),
	} {
		must(t, os.Symlink(text, filepath.Join(z.Dir, "db", file)))
	}
	must(t, os.WriteFile(filepath.Join(z.Dir, "db", "172.18.0.7"), nil, 0o600))
	must(t, os.Symlink(".", filepath.Join(z.Dir, "link")))
	if entries, exists, err := z.Lookup("db"); exists || err != nil {
		t.Errorf("look-up: %v, %v", entries, err)
	}
	if _, exists, err := z.Lookup("link"); exists || err != nil {
		t.Errorf("symbolic link: %v, %v", exists, err)
	}
	must(t, os.Symlink("left by a writer that was killed", filepath.Join(z.Dir, newEntry)))
	must(t, z.Add("web", v4, self("one")))
	must(t, z.Add("web", v4, self("two")))
	if entries, _, err := z.Lookup("web"); len(entries) != 1 || entries[0].Owner.ID != "two" || err != nil {
		t.Errorf("after a killed writer: %v, %v", entries, err)
	}
	must(t, os.Symlink("left by a writer that was killed", filepath.Join(z.Dir, newEntry)))
	must(t, z.Remove("web", v4, "two"))
	if _, err := os.Lstat(filepath.Join(z.Dir, newEntry)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a killed writer left is still there: %v", err)
	}
}

// TestReaderFollowsFolder: the zone may be removed and made again below an open reader.
func TestReaderFollowsFolder(t *testing.T) {
	z := Zone{Dir: filepath.Join(t.TempDir(), "names")}
	r := z.Reader()
	defer r.Close()
	for i := range 3 {
		addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
		must(t, z.Add("db", addr, self("one")))
		must(t, z.SetReverse(addr, "db", self("one")))
		if got := ask(t, r, "db"); got != addr.String() {
			t.Errorf("round %d: %q", i, got)
		}
		if _, _, exists, err := r.Reverse(addr); !exists || err != nil {
			t.Errorf("round %d: %v, %v", i, exists, err)
		}
		must(t, os.RemoveAll(z.Dir))
		if got := ask(t, r, "db"); got != "" {
			t.Errorf("round %d, removed: %q", i, got)
		}
	}
}

// TestManyOwners: a reader keeps a bounded number of descriptors.
func TestManyOwners(t *testing.T) {
	z := Zone{Dir: t.TempDir()}
	r := z.Reader()
	var ids []proc.ID
	for i := range maxOwners + 10 {
		_, id := process(t)
		ids = append(ids, id)
		must(t, z.Add("db", netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), Owner{ID: "one", Process: id}))
	}
	for range 2 {
		entries, err := r.Lookup(nil, []byte("db"))
		if err != nil || len(entries) != len(ids) {
			t.Fatalf("%d entries of %d, %v", len(entries), len(ids), err)
		}
	}
	if n := len(r.owners.open); n != maxOwners {
		t.Errorf("%d descriptors, want %d", n, maxOwners)
	}
	r.Close()
	if n := len(r.owners.open); n != 0 {
		t.Errorf("%d descriptors after Close", n)
	}
}

func BenchmarkLookup(b *testing.B) {
	z := Zone{Dir: b.TempDir()}
	must(b, z.Add("db", v4, self("0123456789ab")))
	r := z.Reader()
	defer r.Close()
	var entries []Entry
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if entries, err = r.Lookup(entries[:0], []byte("db")); len(entries) != 1 {
			b.Fatal(entries, err)
		}
	}
}
