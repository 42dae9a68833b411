package rootfs_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
	"ctr/rootfs"
	. "ctr/rootfs/internal/tartest"
)

func openLayers(t testing.TB, dir string) *rootfs.Layers {
	t.Helper()
	l, err := rootfs.OpenLayers(filepath.Join(dir, "layers"))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// names returns what is in the folder of layers, temporary folders included.
func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "layers"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestLayers(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		unix.Umask(0o077)
		l := openLayers(t, h.Dir)
		id := chainID(0xabc)
		if l.Has(id) {
			t.Error("a layer is there before it is unpacked")
		}
		archive := Archive(t, Dir("d", 0o755), File("d/f", "x"))
		for range 2 { // the second time it is there already
			if err := l.Unpack(t.Context(), id, bytes.NewReader(archive)); err != nil {
				t.Fatal(err)
			}
		}
		if !l.Has(id) || !l.Has(strings.TrimPrefix(id, "sha256:")) {
			t.Error("the layer is not there")
		}
		if d := Diff(tree("d", emptyDir, "d/f", xFile), Tree(t, l.Path(id))); d != "" {
			t.Errorf("layer differs:\n%s", d)
		}
		if info, err := os.Stat(l.Path(id)); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("the layer's root has mode %v, %v", info.Mode(), err)
		}
		if info, err := os.Stat(filepath.Dir(l.Path(id))); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the folder of layers has mode %v, %v", info.Mode(), err)
		}
		if ids, err := l.List(); err != nil || !slices.Equal(ids, []string{id}) {
			t.Errorf("list is %q, %v", ids, err)
		}
		for range 2 {
			if err := l.Remove(id); err != nil {
				t.Error(err)
			}
		}
		if got := names(t, h.Dir); len(got) != 0 {
			t.Errorf("left behind: %q", got)
		}
	})
}

// The size of a layer is counted once; what says it goes with the layer.
func TestSizeOfLayer(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		l := openLayers(t, h.Dir)
		id := chainID(0xabc)
		if n := l.Size(id); n != 0 {
			t.Errorf("a layer that is not there has %d bytes", n)
		}
		archive := Archive(t, Dir("d", 0o755), File("d/f", "12345"), File("g", "678"), Symlink("l", "g"))
		if err := l.Unpack(t.Context(), id, bytes.NewReader(archive)); err != nil {
			t.Fatal(err)
		}
		if n := l.Size(id); n != 8 {
			t.Errorf("%d bytes, want 8", n)
		}
		if err := os.Remove(filepath.Join(l.Path(id), "g")); err != nil {
			t.Fatal(err)
		}
		if n := l.Size(id); n != 8 {
			t.Errorf("counted again: %d bytes", n)
		}
		record := l.Path(id) + ".size"
		if err := os.WriteFile(record, nil, 0o600); err != nil { // a crash of the machine
			t.Fatal(err)
		}
		if n := l.Size(id); n != 5 {
			t.Errorf("with an empty record: %d bytes, want 5", n)
		}
		if err := l.Remove(id); err != nil || len(names(t, h.Dir)) > 0 {
			t.Errorf("removed: %v, left: %q", err, names(t, h.Dir))
		}
		if err := os.WriteFile(record, []byte("5"), 0o600); err != nil { // of one who counted meanwhile
			t.Fatal(err)
		}
		if err := l.Sweep(); err != nil || len(names(t, h.Dir)) > 0 {
			t.Errorf("swept: %v, left: %q", err, names(t, h.Dir))
		}
	})
}

func TestMalformedChainIDs(t *testing.T) {
	dir := t.TempDir()
	l := openLayers(t, dir)
	good := strings.Repeat("a", 64)
	for _, id := range []string{
		"", "sha256:", "..", "../x", "sha256:../../x", good[1:], good + "a", strings.ToUpper(good), "sha512:" + good, "sha256:" + good[:62] + "/x",
		"sha256:sha256:" + good, good + "\n", "\x00" + good[1:],
	} {
		if l.Path(id) != "" || l.Has(id) {
			t.Errorf("%q has path %q", id, l.Path(id))
		}
		if err := l.Unpack(t.Context(), id, bytes.NewReader(nil)); err == nil {
			t.Errorf("%q was unpacked", id)
		}
		if err := l.Remove(id); err == nil {
			t.Errorf("%q was removed", id)
		}
	}
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

// TestUnpackInParallel has many unpack few layers: each is unpacked once.
func TestUnpackInParallel(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		archive := Archive(t, Dir("a", 0o755), Symlink("l", "a"), File("l/f", strings.Repeat("x", 100_000)), Symlink("a2", "/a"), Link("g", "a2/f"))
		var read atomic.Int64
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				l := openLayers(t, h.Dir)
				r := &counted{r: bytes.NewReader(archive), n: &read}
				if err := l.Unpack(t.Context(), chainID(i%4), r); err != nil {
					t.Error(err)
				}
				if !l.Has(chainID(i % 4)) {
					t.Errorf("layer %d is not there after it was unpacked", i%4)
				}
			})
		}
		wg.Wait()
		if got, want := read.Load(), int64(4*len(archive)); got != want {
			t.Errorf("%d bytes were unpacked, want %d: each layer once", got, want)
		}
		if got := names(t, h.Dir); len(got) != 4 {
			t.Errorf("in the folder: %q", got)
		}
	})
}

type counted struct {
	r io.Reader
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func TestUnpackAndRemoveInParallel(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		archive := Archive(t, File("d/f", "x"))
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				l := openLayers(t, h.Dir)
				for range 25 {
					var err error
					if i%2 == 0 {
						err = l.Unpack(t.Context(), chainID(1), bytes.NewReader(archive))
					} else {
						err = l.Remove(chainID(1))
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		l := openLayers(t, h.Dir)
		if err := l.Remove(chainID(1)); err != nil {
			t.Error(err)
		}
		if got := names(t, h.Dir); len(got) != 0 {
			t.Errorf("left behind: %q", got)
		}
	})
}

func TestFailedUnpackLeavesNothing(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		l := openLayers(t, h.Dir)
		good := Archive(t, File("a/b/c", strings.Repeat("x", 10_000)))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wrong := errors.New("wrong digest")
		for name, c := range map[string]struct {
			ctx     context.Context
			archive io.Reader
			want    error
		}{
			"hostile":   {t.Context(), bytes.NewReader(Archive(t, File("f", "x"), File("../f", "x"))), rootfs.ErrArchive},
			"truncated": {t.Context(), bytes.NewReader(good[:5000]), rootfs.ErrArchive},
			"cancelled": {ctx, bytes.NewReader(good), context.Canceled},
			"digest":    {t.Context(), io.MultiReader(bytes.NewReader(good), failing{wrong}), wrong},
		} {
			if err := l.Unpack(c.ctx, chainID(1), c.archive); !errors.Is(err, c.want) {
				t.Errorf("%s: error is %v, want %v", name, err, c.want)
			}
			if got := names(t, h.Dir); len(got) != 0 || l.Has(chainID(1)) {
				t.Errorf("%s: left behind: %q", name, got)
			}
		}
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestKilledUnpack kills a process in the middle of an unpack: the next one sweeps what it left.
func TestKilledUnpack(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		if os.Getenv("CTR_TEST_KILLED") != "" {
			l := openLayers(t, h.Dir)
			archive := Archive(t, Dir("d", 0o755), File("d/f", "x"))
			blocked := io.MultiReader(bytes.NewReader(archive[:len(archive)-1024]), sayThenBlock{})
			err := l.Unpack(t.Context(), chainID(1), blocked)
			t.Fatalf("the unpack ended: %v", err)
		}
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestKilledUnpack$")
		cmd.Env = append(os.Environ(), "CTR_TEST_KILLED=1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := bufio.NewScanner(out)
		for said.Scan() && !strings.Contains(said.Text(), "unpacking") { // then it blocks
		}
		if err := said.Err(); err != nil {
			t.Fatal(err)
		}
		l := openLayers(t, h.Dir)
		if err := l.Sweep(); err != nil {
			t.Error(err)
		}
		if got := names(t, h.Dir); len(got) != 1 {
			t.Errorf("a living unpack was swept: %q", got)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if l.Has(chainID(1)) {
			t.Error("a killed unpack left a layer")
		}
		if err := l.Unpack(t.Context(), chainID(2), bytes.NewReader(Archive(t))); err != nil {
			t.Error(err)
		}
		if got := names(t, h.Dir); !slices.Equal(got, []string{fmt.Sprintf("%064x", 2)}) {
			t.Errorf("in the folder: %q", got)
		}
	})
}

// The layer that containers share is made once, by whoever is first, and nobody who tidies up takes it for a rest.
func TestStackWhileSwept(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		for round := range 20 {
			l := openLayers(t, filepath.Join(h.Dir, strconv.Itoa(round)))
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					dirs, err := l.Stack(nil)
					if err != nil || len(dirs) != 1 {
						t.Errorf("stack: %q, %v", dirs, err)
						return
					}
					if target, err := os.Readlink(filepath.Join(dirs[0], "etc/mtab")); err != nil || target != "/proc/mounts" {
						t.Errorf("not whole: %q, %v", target, err)
					}
				})
				wg.Go(func() {
					if err := l.Sweep(); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if got := names(t, filepath.Join(h.Dir, strconv.Itoa(round))); len(got) != 1 {
				t.Errorf("in the folder: %q", got)
			}
		}
	})
}

type sayThenBlock struct{}

func (sayThenBlock) Read([]byte) (int, error) {
	fmt.Println("unpacking")
	select {}
}

func TestDiskFull(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		for name, c := range map[string]struct {
			options string
			entries []Entry
		}{
			"blocks": {"size=4m", []Entry{File("small", "x"), File("large", strings.Repeat("x", 30<<20))}},
			"inodes": {"size=64m,nr_inodes=50", manyFiles(200)},
		} {
			t.Run(name, func(t *testing.T) {
				dir := filepath.Join(h.Dir, name)
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := unix.Mount("tmpfs", dir, "tmpfs", 0, c.options); err != nil {
					t.Fatal(err)
				}
				l := openLayers(t, dir)
				err := l.Unpack(t.Context(), chainID(1), bytes.NewReader(Archive(t, c.entries...)))
				var hint interface{ Hint() string }
				if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), dir) || !errors.As(err, &hint) {
					t.Errorf("error is %v, want one that names the disk and has a hint", err)
				}
				if got := names(t, dir); len(got) != 0 {
					t.Errorf("left behind: %q", got)
				}
				var st unix.Statfs_t
				if err := unix.Statfs(dir, &st); err != nil || st.Blocks-st.Bfree > 10 {
					t.Errorf("%d blocks are still used, %v", st.Blocks-st.Bfree, err)
				}
			})
		}
	})
}

func manyFiles(n int) []Entry {
	var entries []Entry
	for i := range n {
		entries = append(entries, File(fmt.Sprintf("d/%d", i), ""))
	}
	return entries
}

func BenchmarkLayers(b *testing.B) {
	l := openLayers(b, b.TempDir())
	if err := l.Unpack(b.Context(), chainID(1), bytes.NewReader(Archive(b))); err != nil {
		b.Skip(err) // needs root
	}
	b.Run("Has", func(b *testing.B) {
		for b.Loop() {
			if !l.Has(chainID(1)) {
				b.Fatal("the layer is gone")
			}
		}
	})
	b.Run("Path", func(b *testing.B) {
		for b.Loop() {
			if l.Path(chainID(1)) == "" {
				b.Fatal("no path")
			}
		}
	})
}
