package rootfs_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ctr/internal/testhost"
	"ctr/rootfs"
	. "ctr/rootfs/internal/tartest"
)

const (
	emptyDir = "dir 0755 0:0"
	xFile    = "file 0644 0:0 x"
)

// chainID is a well-formed chain ID that is the test's own.
func chainID(n int) string { return fmt.Sprintf("sha256:%064x", n) }

// mounted unpacks the layers, the base first, and hands over what their overlay shows.
func mounted(t *testing.T, dir string, archives [][]byte, f func(target string)) {
	t.Helper()
	base, err := os.MkdirTemp(dir, "stack-")
	if err != nil {
		t.Fatal(err)
	}
	layers, err := rootfs.OpenLayers(filepath.Join(base, "layers"))
	if err != nil {
		t.Fatal(err)
	}
	o := rootfs.Overlay{Upper: filepath.Join(base, "upper"), Work: filepath.Join(base, "work"), Target: filepath.Join(base, "target")}
	for _, d := range []string{o.Upper, o.Work, o.Target} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var below []string
	for i, a := range archives {
		if err := layers.Unpack(t.Context(), chainID(i), bytes.NewReader(a), below...); err != nil {
			t.Fatalf("layer %d: %v", i, err)
		}
		below = append(below, chainID(i))
		o.Lower = append(o.Lower, layers.Path(chainID(i)))
	}
	err = rootfs.WithPrivateMounts(func() error {
		if err := o.Mount(); err != nil {
			return err
		}
		f(o.Target)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func tree(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

// TestWhiteouts compares what the overlay of unpacked layers shows with what the image specification says.
func TestWhiteouts(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		base := []Entry{Dir("d", 0o755), File("d/a", "x"), File("d/b", "x"), Dir("d/sub", 0o755), File("d/sub/c", "x"), File("f", "x"), Symlink("l", "d")}
		whole := tree("d", emptyDir, "d/a", xFile, "d/b", xFile, "d/sub", emptyDir, "d/sub/c", xFile, "f", xFile, "l", "link 0:0 -> d")
		wh := func(name string) Entry { return File(name, "") }
		cases := map[string]struct {
			layers [][]Entry
			remove string // space separated names that are gone, with all below
			add    map[string]string
		}{
			"file":                    {[][]Entry{{wh(".wh.f")}}, "f", nil},
			"file-in-dir":             {[][]Entry{{wh("d/.wh.a")}}, "d/a", nil},
			"dir":                     {[][]Entry{{wh(".wh.d")}}, "d", nil},
			"subdir":                  {[][]Entry{{wh("d/.wh.sub")}}, "d/sub", nil},
			"symlink":                 {[][]Entry{{wh(".wh.l")}}, "l", nil},
			"twice":                   {[][]Entry{{wh(".wh.f"), wh(".wh.f")}}, "f", nil},
			"two-layers":              {[][]Entry{{wh(".wh.f")}, {wh("d/.wh.a")}}, "f d/a", nil},
			"and-again-in-next":       {[][]Entry{{wh(".wh.f")}, {wh(".wh.f")}}, "f", nil},
			"and-back":                {[][]Entry{{wh(".wh.f")}, {File("f", "y")}}, "f", tree("f", "file 0644 0:0 y")},
			"of-nothing":              {[][]Entry{{wh(".wh.none"), wh("d/.wh.none")}}, "", nil},
			"in-new-dir":              {[][]Entry{{wh("new/.wh.none")}}, "", tree("new", emptyDir)},
			"of-dotted-name":          {[][]Entry{{wh(".wh..hidden"), wh(".wh....")}}, "", nil},
			"opaque":                  {[][]Entry{{wh("d/.wh..wh..opq")}}, "d/a d/b d/sub", nil},
			"opaque-sub":              {[][]Entry{{wh("d/sub/.wh..wh..opq")}}, "d/sub/c", nil},
			"opaque-then-file":        {[][]Entry{{wh("d/.wh..wh..opq"), File("d/n", "x")}}, "d/a d/b d/sub", tree("d/n", xFile)},
			"file-then-opaque":        {[][]Entry{{File("d/n", "x"), wh("d/.wh..wh..opq")}}, "d/a d/b d/sub", tree("d/n", xFile)},
			"opaque-keeps-own-sub":    {[][]Entry{{wh("d/.wh..wh..opq"), File("d/sub/n", "x")}}, "d/a d/b d/sub", tree("d/sub", emptyDir, "d/sub/n", xFile)},
			"opaque-with-dir-entry":   {[][]Entry{{Dir("d", 0o700), wh("d/.wh..wh..opq")}}, "d", tree("d", "dir 0700 0:0")},
			"opaque-before-dir-entry": {[][]Entry{{wh("d/.wh..wh..opq"), Dir("d", 0o700)}}, "d", tree("d", "dir 0700 0:0")},
			"opaque-root":             {[][]Entry{{wh(".wh..wh..opq"), File("n", "x")}}, "d f l", tree("n", xFile)},
			"opaque-root-then-layer":  {[][]Entry{{wh(".wh..wh..opq"), File("n", "x")}, {File("m", "x")}}, "d f l", tree("n", xFile, "m", xFile)},
			"opaque-of-nothing":       {[][]Entry{{wh("none/.wh..wh..opq")}}, "", tree("none", emptyDir)},
			"opaque-middle-layer":     {[][]Entry{{wh("d/.wh..wh..opq"), File("d/m", "x")}, {File("d/n", "x")}}, "d/a d/b d/sub", tree("d/m", xFile, "d/n", xFile)},
			"opaque-through-symlink":  {[][]Entry{{Dir("d", 0o755), Symlink("l", "d"), wh("l/.wh..wh..opq")}}, "d/a d/b d/sub", nil},
			"through-symlink":         {[][]Entry{{Dir("d", 0o755), Symlink("l", "d"), wh("l/.wh.a")}}, "d/a", nil},
			"through-absolute-link":   {[][]Entry{{Dir("d", 0o755), Symlink("k", "/d"), wh("k/sub/.wh.c")}}, "d/sub/c", tree("k", "link 0:0 -> /d")},
			"own-file-before":         {[][]Entry{{File("f", "own"), wh(".wh.f")}}, "f", tree("f", "file 0644 0:0 own")},
			"own-file-after":          {[][]Entry{{wh(".wh.f"), File("f", "own")}}, "f", tree("f", "file 0644 0:0 own")},
			"own-dir-before":          {[][]Entry{{Dir("d", 0o755), File("d/n", "x"), wh(".wh.d")}}, "d", tree("d", emptyDir, "d/n", xFile)},
			"own-dir-after":           {[][]Entry{{wh(".wh.d"), Dir("d", 0o711), File("d/n", "x")}}, "d", tree("d", "dir 0711 0:0", "d/n", xFile)},
			"own-implied-dir-after":   {[][]Entry{{wh(".wh.d"), File("d/n", "x")}}, "d", tree("d", emptyDir, "d/n", xFile)},
			"own-deep-dir-after":      {[][]Entry{{wh("d/.wh.sub"), File("d/sub/e/n", "x")}}, "d/sub", tree("d/sub", emptyDir, "d/sub/e", emptyDir, "d/sub/e/n", xFile)},
			"own-symlink-after":       {[][]Entry{{wh(".wh.d"), Symlink("d", "f")}}, "d", tree("d", "link 0:0 -> f")},
			"own-whiteout-in-own-dir": {[][]Entry{{File("d/n", "x"), wh("d/.wh.a")}}, "d/a", tree("d/n", xFile)},
			"dir-becomes-file":        {[][]Entry{{File("d", "x")}}, "d", tree("d", xFile)},
			"file-becomes-dir":        {[][]Entry{{File("f/n", "x")}}, "f", tree("f", emptyDir, "f/n", xFile)},
			"symlink-becomes-dir":     {[][]Entry{{Dir("l", 0o755), File("l/n", "x")}}, "l", tree("l", emptyDir, "l/n", xFile)},
			"dir-file-dir":            {[][]Entry{{File("d", "x")}, {Dir("d", 0o755), File("d/n", "x")}}, "d", tree("d", emptyDir, "d/n", xFile)},
			"dir-gone-dir":            {[][]Entry{{wh(".wh.d")}, {Dir("d", 0o755), File("d/n", "x")}}, "d", tree("d", emptyDir, "d/n", xFile)},
			"file-then-dir-in-layer":  {[][]Entry{{File("d", "x"), Dir("d", 0o755), File("d/n", "x")}}, "d", tree("d", emptyDir, "d/n", xFile)},
			"whiteout-is-a-dir":       {[][]Entry{{Dir(".wh.f", 0o755)}}, "f", nil},
			"aufs-files":              {[][]Entry{{Dir(".wh..wh.plnk", 0o700), wh(".wh..wh.aufs"), wh("d/.wh..wh.orph")}}, "", nil},
			"xattr-does-not-hide":     {[][]Entry{{Dir("d", 0o755).Xattr("trusted.overlay.opaque", "y"), Dir("d/sub", 0o755).Xattr("trusted.overlay.redirect", "/f")}}, "", nil},
		}
		if len(cases) < 40 {
			t.Errorf("only %d cases", len(cases))
		}
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				want := maps.Clone(whole)
				for gone := range strings.FieldsSeq(c.remove) {
					maps.DeleteFunc(want, func(name, _ string) bool { return name == gone || strings.HasPrefix(name, gone+"/") })
				}
				maps.Copy(want, c.add)
				archives := [][]byte{Archive(t, base...)}
				for _, l := range c.layers {
					archives = append(archives, Archive(t, l...))
				}
				mounted(t, h.Dir, archives, func(target string) {
					if d := Diff(want, Tree(t, target)); d != "" {
						t.Errorf("merged tree differs:\n%s", d)
					}
				})
			})
		}
	})
}

// merge is the reference: what the image specification says of one layer on top of a tree. No entry of the layer has the
// name of another.
func merge(below map[string]string, layer []Entry) map[string]string {
	merged := maps.Clone(below)
	hide := func(name string) {
		maps.DeleteFunc(merged, func(n, _ string) bool { return n == name || strings.HasPrefix(n, name+"/") })
	}
	parents := func(name string) {
		for i, c := range name {
			if c != '/' {
				continue
			}
			if !strings.HasPrefix(merged[name[:i]], "dir") {
				hide(name[:i])
			}
			merged[name[:i]] = emptyDir // its mode is the topmost layer's
		}
	}
	for _, e := range layer { // what is hidden is below the layer, wherever in the archive it is said
		dir, base := filepath.Split(e.Name)
		if base == ".wh..wh..opq" {
			maps.DeleteFunc(merged, func(n, _ string) bool { return strings.HasPrefix(n, dir) })
		} else if name, ok := strings.CutPrefix(base, ".wh."); ok {
			hide(dir + name)
		}
	}
	for _, e := range layer {
		parents(e.Name)
		if strings.HasPrefix(filepath.Base(e.Name), ".wh.") {
			continue
		}
		switch {
		case e.Typeflag != tar.TypeDir:
			hide(e.Name)
			merged[e.Name] = "file 0644 0:0 " + e.Body
		case !strings.HasPrefix(merged[e.Name], "dir"):
			hide(e.Name)
			fallthrough
		default:
			merged[e.Name] = emptyDir
		}
	}
	return merged
}

// randomLayer makes a layer of few names, so that layers collide. Folders come before what is in them, as in any archive.
func randomLayer(r *rand.Rand, whiteouts bool) []Entry {
	var entries []Entry
	used := map[string]bool{}
	var fill func(prefix string, depth int)
	fill = func(prefix string, depth int) {
		for _, c := range "abc" {
			name := prefix + string(c)
			if used[name] {
				continue
			}
			switch k := r.IntN(10); {
			case k < 2:
				entries = append(entries, File(name, fmt.Sprint(r.IntN(100))))
			case k < 4 && depth < 3:
				if r.IntN(3) > 0 {
					entries = append(entries, Dir(name, 0o755))
				}
				if whiteouts && r.IntN(4) == 0 {
					entries = append(entries, File(name+"/.wh..wh..opq", ""))
				}
				fill(name+"/", depth+1)
			case k < 6 && whiteouts:
				entries = append(entries, File(prefix+".wh."+string(c), ""))
				if depth < 3 && r.IntN(3) == 0 {
					fill(name+"/", depth+1) // hidden, and made anew
				}
			}
			used[name] = true
		}
	}
	fill("", 0)
	return entries
}

// TestWhiteoutsAtRandom compares the overlay of random layers with the reference.
func TestWhiteoutsAtRandom(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		for seed := range uint64(150) {
			r := rand.New(rand.NewPCG(seed, 1))
			want := map[string]string{}
			var archives [][]byte
			var said []string
			for i := range 2 + r.IntN(4) {
				layer := randomLayer(r, i > 0) // nothing is below the base
				want = merge(want, layer)
				archives = append(archives, Archive(t, layer...))
				for _, e := range layer {
					said = append(said, fmt.Sprintf("%d:%c:%s", i, e.Typeflag, e.Name))
				}
			}
			mounted(t, h.Dir, archives, func(target string) {
				if d := Diff(want, Tree(t, target)); d != "" {
					t.Errorf("seed %d: merged tree differs:\n%s\nlayers: %s", seed, d, strings.Join(said, " "))
				}
			})
			if t.Failed() {
				return
			}
		}
	})
}
