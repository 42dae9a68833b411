package unpack_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ctr/internal/testhost"
	"ctr/rootfs/inroot"
	. "ctr/rootfs/internal/tartest"
	"ctr/rootfs/unpack"
)

// unpackInto unpacks into a fresh folder and returns it.
func unpackInto(t *testing.T, dir string, o unpack.Options, entries ...Entry) (string, error) {
	t.Helper()
	return unpackBytes(t, dir, o, Archive(t, entries...))
}

func unpackBytes(t *testing.T, dir string, o unpack.Options, archive []byte) (string, error) {
	t.Helper()
	layer, err := os.MkdirTemp(dir, "layer-")
	if err != nil {
		t.Fatal(err)
	}
	root, err := inroot.Open(layer)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	return layer, unpack.Unpack(t.Context(), root, bytes.NewReader(archive), o)
}

// bait is what a hostile archive may not touch, beside the folder that it is unpacked to.
func bait(t *testing.T, dir string) string {
	t.Helper()
	outside := filepath.Join(dir, "victim")
	if err := os.MkdirAll(filepath.Join(outside, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"hello", "sub/deep", "setme"} {
		if err := os.WriteFile(filepath.Join(outside, name), []byte("untouched"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return outside
}

// routes are the ways in which archives have led unpackers outside, as the name of a folder that leads to the victim.
func routes(outside string) map[string][]Entry {
	return map[string][]Entry{
		"relative":          {Symlink("way", "../victim")},
		"far-relative":      {Symlink("way", strings.Repeat("../", 40)+outside[1:])},
		"absolute":          {Symlink("way", outside)},
		"up-then-down":      {Dir("d", 0o755), Symlink("way", "d/../../victim")},
		"dot-dot":           {Symlink("up", ".."), Symlink("way", "up/victim")},
		"root":              {Symlink("r", "/"), Symlink("way", "r"+outside)},
		"chain":             {Symlink("a", "b"), Symlink("b", "c"), Symlink("c", outside), Symlink("way", "a")},
		"dangling-then-out": {Symlink("way", "missing/../../victim")},
		"proc-root":         {Symlink("way", "/proc/self/root"+outside)},
		"proc-cwd":          {Symlink("way", "/proc/self/cwd/../../victim")},
		"proc-fd":           {Symlink("way", "/proc/self/fd/3/../victim")},
		"replaced-dir":      {Dir("way", 0o755), Symlink("way", outside)},
		"dir-then-link":     {Dir("way", 0o755), File("way/x", "x"), Symlink("way", "../victim")},
		"hardlinked-link":   {Symlink("first", outside), Link("way", "first")},
		"dot-link":          {Symlink("./way/.", outside)},
		"via-abs-name":      {Symlink("/way", outside)},
		"loop":              {Symlink("way", "way2"), Symlink("way2", "way")},
		"itself":            {Symlink("way", "way/..")},
		"dot-dot-component": {Symlink("d", "."), Symlink("way", "d/d/d/../../../victim")},
	}
}

// deeds are what an archive tries to do at the end of a route.
var deeds = map[string][]Entry{
	"write":          {File("way/new", "owned")},
	"overwrite":      {File("way/hello", "owned")},
	"mkdir":          {Dir("way/newdir", 0o777)},
	"chmod-dir":      {Dir("way/sub", 0o777)},
	"chmod-itself":   {Dir("way/", 0o777)},
	"chown-file":     {File("way/setme", "x").Owner(1000, 1000)},
	"symlink":        {Symlink("way/hello", "/etc/passwd")},
	"hardlink-to":    {Link("stolen", "way/hello"), File("stolen", "owned")},
	"hardlink-chmod": {Link("stolen", "way/hello").Perm(0o6777).Owner(0, 0)},
	"hardlink-from":  {File("mine", "x"), Link("way/linked", "mine")},
	"whiteout":       {File("way/.wh.hello", "")},
	"opaque":         {File("way/.wh..wh..opq", "")},
	"device":         {Node(tar.TypeBlock, "way/sda", 8, 0)},
	"fifo":           {Node(tar.TypeFifo, "way/fifo", 0, 0)},
	"deep":           {File("way/sub/deep/er/file", "owned")},
	"replace-dir":    {File("way/sub", "owned")},
	"xattr":          {File("way/setme", "x").Xattr("user.evil", "1")},
	"then-dot-dot":   {File("way/../victim/new", "owned"), File("way/sub/../../victim/new", "owned")},
}

// TestNothingOutside does every deed by every route. Whether an archive is refused or unpacked inside of the layer does not
// matter here; that nothing outside changes does.
func TestNothingOutside(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		scratch := filepath.Join(h.Dir, "scratch")
		outside := bait(t, scratch)
		before := Tree(t, outside)
		n := 0
		for route, way := range routes(outside) {
			for deed, entries := range deeds {
				n++
				t.Run(route+"/"+deed, func(t *testing.T) {
					all := append(append([]Entry{Dir(".", 0o755)}, way...), entries...)
					_, err := unpackInto(t, scratch, unpack.Options{}, all...)
					if err != nil && !errors.Is(err, unpack.ErrArchive) {
						t.Errorf("refused by %v, want ErrArchive or nothing", err)
					}
					if d := Diff(before, Tree(t, outside)); d != "" {
						t.Fatalf("outside changed:\n%s", d)
					}
				})
			}
		}
		if n < 150 {
			t.Errorf("only %d archives", n)
		}
		entries, err := os.ReadDir(scratch)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Name() != "victim" && !strings.HasPrefix(e.Name(), "layer-") {
				t.Errorf("%q appeared beside the layers", e.Name())
			}
		}
	})
}

// TestRefused has archives that no honest program writes.
func TestRefused(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		cases := map[string][]Entry{
			"dot-dot":                 {File("../victim", "x")},
			"slash-dot-dot":           {File("/../victim", "x")},
			"inner-dot-dot":           {File("a/../../victim", "x")},
			"dot-dot-itself":          {Dir("..", 0o755)},
			"many-dot-dot":            {File("../../../../../../../../etc/x", "x")},
			"dot-dot-link":            {Symlink("../link", "x")},
			"dot-dot-whiteout":        {File("../.wh.victim", "")},
			"hardlink-dot-dot":        {Link("l", "../victim")},
			"hardlink-slash-dot-dot":  {Link("l", "/../victim")},
			"hardlink-inner-dot-dot":  {Dir("a", 0o755), Link("l", "a/../../victim")},
			"hardlink-missing":        {Link("l", "nothing")},
			"hardlink-dir":            {Dir("d", 0o755), Link("l", "d")},
			"hardlink-root":           {Link("l", "/")},
			"hardlink-dot":            {Link("l", ".")},
			"hardlink-through-file":   {File("f", "x"), Link("l", "f/x")},
			"hardlink-to-whiteout":    {File(".wh.f", ""), Link("l", "f")},
			"hardlink-loop":           {Symlink("a", "b"), Symlink("b", "a"), Link("l", "a/x")},
			"root-symlink":            {Symlink(".", "/tmp")},
			"root-symlink-slash":      {Symlink("/.", "/tmp")},
			"root-symlink-dotted":     {Symlink("./.", "/tmp")},
			"root-symlink-slashes":    {Symlink("//", "/tmp")},
			"root-file":               {File(".", "x")},
			"root-link":               {File("f", "x"), Link("/.", "f")},
			"root-fifo":               {Node(tar.TypeFifo, "/.", 0, 0)},
			"file-as-dir":             {File("f", "x"), File("f/g", "x")},
			"fifo-as-dir":             {Node(tar.TypeFifo, "f", 0, 0), File("f/g", "x")},
			"device-as-dir":           {Node(tar.TypeChar, "f", 1, 3), File("f/g", "x")},
			"file-as-dir-for-opaque":  {File("f", "x"), File("f/.wh..wh..opq", "")},
			"whiteout-of-nothing":     {File(".wh.", "")},
			"whiteout-of-dot":         {File("d/.wh..", "")},
			"whiteout-of-dot-dot":     {File("d/.wh...", "")},
			"link-loop-parent":        {Symlink("a", "b"), Symlink("b", "a"), File("a/x", "x")},
			"link-to-itself-parent":   {Symlink("a", "a"), File("a/x", "x")},
			"empty-symlink":           {Symlink("a", "")},
			"huge-symlink":            {Symlink("a", strings.Repeat("x", 5000))},
			"long-component":          {File(strings.Repeat("n", 256), "x")},
			"long-name":               {File(strings.Repeat("n/", 3000)+"x", "x")},
			"very-long-name":          {File(strings.Repeat("a/", 100_000)+"x", "x")},
			"char-0-0":                {Node(tar.TypeChar, "c", 0, 0)},
			"char-0-0-over-dir":       {Dir("c", 0o755), Node(tar.TypeChar, "c", 0, 0)},
			"device-out-of-range":     {Node(tar.TypeChar, "c", 1<<20, 1)},
			"device-minor-range":      {Node(tar.TypeBlock, "c", 1, 1<<21)},
			"device-truncated-to-0-0": {Node(tar.TypeChar, "c", 1<<32, 1<<32)},
			"uid-unset":               {File("f", "x").Owner(1<<32-1, 0)},
			"gid-unset":               {File("f", "x").Owner(0, 1<<32-1)},
			"uid-too-large":           {File("f", "x").Owner(1<<32, 0)},
			"unknown-type":            {{Header: tar.Header{Typeflag: 'M', Name: "m"}}},
		}
		for name, entries := range cases {
			t.Run(name, func(t *testing.T) {
				_, err := unpackInto(t, h.Dir, unpack.Options{}, entries...)
				if !errors.Is(err, unpack.ErrArchive) {
					t.Errorf("error is %v, want ErrArchive", err)
				}
			})
		}
	})
}

// TestAccepted has archives that look odd and are good: other runtimes have refused some of them.
func TestAccepted(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		cases := map[string]struct {
			entries []Entry
			want    map[string]string // the whole tree
		}{
			"absolute-names":        {[]Entry{Dir("/d", 0o755), File("/d/f", "x")}, tree("d", dir, "d/f", file("x"))},
			"dotted-names":          {[]Entry{Dir("./", 0o755), Dir("./d/", 0o755), File("./d/./f", "x")}, tree("d", dir, "d/f", file("x"))},
			"inner-dot-dot":         {[]Entry{Dir("d", 0o755), File("d/../f", "x")}, tree("d", dir, "f", file("x"))},
			"dots-in-names":         {[]Entry{File("..f", "x"), File("...", "y"), File("g..", "z")}, tree("..f", file("x"), "...", file("y"), "g..", file("z"))},
			"implied-dirs":          {[]Entry{File("a/b/c", "x")}, tree("a", dir, "a/b", dir, "a/b/c", file("x"))},
			"absolute-hardlink":     {[]Entry{File("d/f", "x"), Link("g", "/d/f")}, tree("d", dir, "d/f", file("x"), "g", file("x"))},
			"dotted-hardlink":       {[]Entry{File("f", "x"), Link("g", "./f")}, tree("f", file("x"), "g", file("x"))},
			"hardlink-to-symlink":   {[]Entry{Symlink("s", "/etc/passwd"), Link("g", "s").Perm(0o777)}, tree("s", link("/etc/passwd"), "g", link("/etc/passwd"))},
			"hardlink-via-abs-link": {[]Entry{File("etc/p", "x"), Symlink("l", "/etc"), Link("g", "l/p")}, tree("etc", dir, "etc/p", file("x"), "l", link("/etc"), "g", file("x"))},
			"hardlink-via-far-link": {[]Entry{File("etc/p", "x"), Symlink("l", "../../../etc"), Link("g", "l/p")}, tree("etc", dir, "etc/p", file("x"), "l", link("../../../etc"), "g", file("x"))},
			"hardlink-to-itself":    {[]Entry{File("f", "x"), Link("f", "f")}, tree("f", file("x"))},
			"hardlink-twice":        {[]Entry{File("f", "x"), Link("g", "f"), Link("g", "f")}, tree("f", file("x"), "g", file("x"))},
			"hardlink-over-file":    {[]Entry{File("f", "x"), File("g", "y"), Link("g", "f")}, tree("f", file("x"), "g", file("x"))},
			"hardlink-to-fifo":      {[]Entry{Node(tar.TypeFifo, "p", 0, 0), Link("q", "p")}, tree("p", "fifo 0600 0:0", "q", "fifo 0600 0:0")},
			"file-over-hardlink":    {[]Entry{File("f", "x"), Link("g", "f"), File("g", "new")}, tree("f", file("x"), "g", file("new"))},
			"symlink-out":           {[]Entry{Symlink("s", "../../../../etc/passwd")}, tree("s", link("../../../../etc/passwd"))},
			"symlink-verbatim":      {[]Entry{Symlink("s", "a//b/./../c/")}, tree("s", link("a//b/./../c/"))},
			"through-abs-symlink":   {[]Entry{Dir("etc", 0o755), Symlink("l", "/etc"), File("l/f", "x")}, tree("etc", dir, "l", link("/etc"), "etc/f", file("x"))},
			"through-rel-symlink":   {[]Entry{Dir("usr/lib", 0o755), Symlink("lib", "usr/lib"), File("lib/f", "x")}, tree("usr", dir, "usr/lib", dir, "lib", link("usr/lib"), "usr/lib/f", file("x"))},
			"through-dangling":      {[]Entry{Symlink("lib", "usr/lib"), File("lib/f", "x")}, tree("lib", link("usr/lib"), "usr", dir, "usr/lib", dir, "usr/lib/f", file("x"))},
			"through-dangling-abs":  {[]Entry{Symlink("a/lib", "/usr/lib"), File("a/lib/f", "x")}, tree("a", dir, "a/lib", link("/usr/lib"), "usr", dir, "usr/lib", dir, "usr/lib/f", file("x"))},
			"through-dangling-up":   {[]Entry{Symlink("a/b/l", "../c"), File("a/b/l/f", "x")}, tree("a", dir, "a/b", dir, "a/b/l", link("../c"), "a/c", dir, "a/c/f", file("x"))},
			"dir-over-symlink":      {[]Entry{Dir("r", 0o755), Symlink("d", "r"), Dir("d", 0o700)}, tree("r", dir, "d", "dir 0700 0:0 opaque", "d", "dir 0700 0:0 opaque")},
			"dir-over-file":         {[]Entry{File("d", "x"), Dir("d", 0o755)}, tree("d", dir+" opaque")},
			"file-over-dir":         {[]Entry{File("d/x/y", "x"), File("d", "z")}, tree("d", file("z"))},
			"symlink-over-dir":      {[]Entry{File("d/x", "x"), Symlink("d", "e")}, tree("d", link("e"))},
			"file-over-symlink":     {[]Entry{File("t", "old"), Symlink("s", "t"), File("s", "new")}, tree("t", file("old"), "s", file("new"))},
			"fifo-over-file":        {[]Entry{File("p", "x"), Node(tar.TypeFifo, "p", 0, 0)}, tree("p", "fifo 0600 0:0")},
			"same-file-twice":       {[]Entry{File("f", "a longer one"), File("f", "new")}, tree("f", file("new"))},
			"dir-twice":             {[]Entry{Dir("d", 0o700), File("d/f", "x"), Dir("d", 0o751)}, tree("d", "dir 0751 0:0", "d/f", file("x"))},
			"unwritable-dir":        {[]Entry{Dir("d", 0), File("d/f", "x")}, tree("d", "dir 0000 0:0", "d/f", file("x"))},
			"name-of-whiteout-like": {[]Entry{File("wh.x", "x"), File(".whx", "y"), File(".w", "z")}, tree("wh.x", file("x"), ".whx", file("y"), ".w", file("z"))},
			"global-header":         {[]Entry{{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax", PAXRecords: map[string]string{"comment": "x"}}}, File("f", "x")}, tree("f", file("x"))},
			"long-names":            {[]Entry{File(strings.Repeat("d/", 1000)+strings.Repeat("n", 255), "x")}, nil},
			"newline-in-name":       {[]Entry{File("a\nb", "x")}, tree("a\nb", file("x"))},
			"not-utf8":              {[]Entry{File("a\xff\xfe", "x")}, tree("a\xff\xfe", file("x"))},
			"backslash":             {[]Entry{File(`a\..\b`, "x")}, tree(`a\..\b`, file("x"))},
			"empty-archive":         {nil, tree()},
			"root-only":             {[]Entry{Dir("./", 0o700)}, tree()},
			"aufs-metadata":         {[]Entry{Dir(".wh..wh.plnk", 0o700), File(".wh..wh.plnk/12.34", "x"), File(".wh..wh.aufs", ""), File("f", "x")}, tree("f", file("x"))},
		}
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				layer, err := unpackInto(t, h.Dir, unpack.Options{}, c.entries...)
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				if c.want == nil {
					return
				}
				if d := Diff(c.want, Tree(t, layer)); d != "" {
					t.Errorf("tree differs:\n%s", d)
				}
			})
		}
	})
}

const dir = "dir 0755 0:0"

func file(body string) string { return "file 0644 0:0 " + body }

func link(target string) string { return "link 0:0 -> " + target }

// tree makes a tree of names and descriptions.
func tree(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return maps.Clone(m)
}

// TestDamaged has what is no whole archive.
func TestDamaged(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		whole := Archive(t, Dir("d", 0o755), File("d/f", strings.Repeat("content", 1000)))
		for _, size := range []int{1, 100, 511, 513, 1700, 3000, len(whole) / 2} {
			t.Run(fmt.Sprintf("first-%d-bytes", size), func(t *testing.T) {
				if _, err := unpackBytes(t, h.Dir, unpack.Options{}, whole[:size]); !errors.Is(err, unpack.ErrArchive) {
					t.Errorf("error is %v, want ErrArchive", err)
				}
			})
		}
		for name, data := range map[string][]byte{
			"text":        []byte(strings.Repeat("this is no archive\n", 100)),
			"ones":        bytes.Repeat([]byte{0xff}, 4096),
			"bad-sum":     append([]byte("x"), whole[1:]...),
			"junk-middle": append(append(bytes.Clone(whole[:1024]), bytes.Repeat([]byte("junk"), 256)...), whole...),
		} {
			t.Run(name, func(t *testing.T) {
				if _, err := unpackBytes(t, h.Dir, unpack.Options{}, data); !errors.Is(err, unpack.ErrArchive) {
					t.Errorf("error is %v, want ErrArchive", err)
				}
			})
		}
	})
}
