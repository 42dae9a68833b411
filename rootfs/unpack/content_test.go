package unpack_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
	"ctr/rootfs/inroot"
	. "ctr/rootfs/internal/tartest"
	"ctr/rootfs/unpack"
)

func TestAttributes(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		unix.Umask(0o077) // it must not matter
		// VFS_CAP_REVISION_2 with cap_net_raw=ep, as ping has it.
		ping := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
		layer, err := unpackInto(t, h.Dir, unpack.Options{},
			Dir("sticky", 0o1777), Dir("setgid", 0o2755).Owner(70000, 4294967294),
			File("su", "x").Perm(0o4755), File("ping", "x").Perm(0o755).Owner(3, 4).Xattr("security.capability", ping),
			File("attr", "x").Xattr("user.mine", "yes").Xattr("trusted.overlay.opaque", "y").Xattr("trusted.overlay.redirect", "/etc").
				Xattr("trusted.overlay.metacopy", "").Xattr("user.overlay.opaque", "y").Xattr("trusted.other", "kept"),
			Dir("opaque", 0o755).Xattr("trusted.overlay.opaque", "y"),
			Symlink("sym", "su").Owner(5, 6).Xattr("trusted.on-link", "1"),
			Node(tar.TypeChar, "null", 1, 3).Perm(0o666), Node(tar.TypeBlock, "disk", 259, 1_000_000).Owner(0, 6),
			Node(tar.TypeFifo, "pipe", 0, 0).Perm(0o622),
		)
		if err != nil {
			t.Fatal(err)
		}
		want := tree("sticky", "dir 1777 0:0", "setgid", "dir 2755 70000:4294967294", "su", "file 4755 0:0 x", "ping", "file 0755 3:4 x",
			"attr", file("x"), "opaque", dir, "sym", "link 5:6 -> su", "null", "char 0666 0:0 1:3",
			"disk", "block 0600 0:6 259:1000000", "pipe", "fifo 0622 0:0")
		if d := Diff(want, Tree(t, layer)); d != "" {
			t.Errorf("tree differs:\n%s", d)
		}
		for _, x := range []struct{ name, attr, want string }{
			{"ping", "security.capability", ping},
			{"attr", "user.mine", "yes"},
			{"attr", "trusted.other", "kept"},
			{"attr", "trusted.overlay.opaque", ""},
			{"attr", "trusted.overlay.redirect", ""},
			{"attr", "user.overlay.opaque", ""},
			{"opaque", "trusted.overlay.opaque", ""},
			{"sym", "trusted.on-link", "1"},
		} {
			value := make([]byte, 64)
			n, err := unix.Lgetxattr(filepath.Join(layer, x.name), x.attr, value)
			if got := string(value[:max(n, 0)]); got != x.want || (x.want == "") != errors.Is(err, unix.ENODATA) {
				t.Errorf("%s of %s is %q, %v, want %q", x.attr, x.name, got, err, x.want)
			}
		}
	})
}

func TestTimes(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		layer, err := unpackInto(t, h.Dir, unpack.Options{},
			Dir("d", 0o755), File("d/f", "x"), Dir("d/e", 0o755), Symlink("d/s", "f"), File("d/e/g", "y"), Node(tar.TypeFifo, "p", 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"d", "d/f", "d/e", "d/s", "d/e/g"} {
			info, err := os.Lstat(filepath.Join(layer, name))
			if err != nil {
				t.Fatal(err)
			}
			if !info.ModTime().Equal(Time) {
				t.Errorf("%s was modified at %v, want %v", name, info.ModTime(), Time)
			}
		}
	})
}

func TestAttributeTooLarge(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		layer, err := unpackInto(t, h.Dir, unpack.Options{}, File("f", "x").Xattr("user.large", strings.Repeat("v", 65536)))
		if err == nil { // a file system that takes it keeps it
			if n, err := unix.Lgetxattr(filepath.Join(layer, "f"), "user.large", nil); n != 65536 {
				t.Errorf("the attribute has %d bytes, %v", n, err)
			}
			return
		}
		if !errors.Is(err, unpack.ErrLimit) || !strings.Contains(err.Error(), `"user.large"`) || errors.Is(err, unix.ENOSPC) {
			t.Errorf("error is %v, want ErrLimit that names the attribute and no full disk", err)
		}
	})
}

func TestImpliedDirsLookLikeThoseBelow(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		base, err := unpackInto(t, h.Dir, unpack.Options{}, Dir("tmp", 0o1777), Dir("srv", 0o700).Owner(5, 5), Dir("srv/in", 0o710), File("was", "x"))
		if err != nil {
			t.Fatal(err)
		}
		middle, err := unpackInto(t, h.Dir, unpack.Options{}, Dir("srv/in", 0o711))
		if err != nil {
			t.Fatal(err)
		}
		layer, err := unpackInto(t, h.Dir, unpack.Options{Lower: []string{base, middle}},
			File("tmp/x", "x"), File("srv/in/y", "y"), File("was/z", "z"), File("new/z", "z"), Symlink("l", "/srv/other"), File("l/f", "f"))
		if err != nil {
			t.Fatal(err)
		}
		want := tree("tmp", "dir 1777 0:0", "tmp/x", file("x"), "srv", "dir 0755 0:0", "srv/in", "dir 0711 0:0", "srv/in/y", file("y"),
			"was", dir, "was/z", file("z"), "new", dir, "new/z", file("z"), "l", link("/srv/other"), "srv/other", dir, "srv/other/f", file("f"))
		if d := Diff(want, Tree(t, layer)); d != "" {
			t.Errorf("tree differs:\n%s", d)
		}
		info, err := os.Stat(filepath.Join(layer, "tmp"))
		if err != nil || !info.ModTime().Equal(Time) {
			t.Errorf("tmp was modified at %v, %v, want %v", info.ModTime(), err, Time)
		}
	})
}

func TestLargeAndSparseFiles(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		random := make([]byte, 300<<10+17)
		rand.NewChaCha8([32]byte{1}).Read(random)
		holes := string(random) + strings.Repeat("\x00", 5<<20) + string(random) + strings.Repeat("\x00", 1<<20)
		layer, err := unpackInto(t, h.Dir, unpack.Options{}, File("random", string(random)), File("holes", holes), File("zeros", strings.Repeat("\x00", 1<<20)))
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"random": string(random), "holes": holes, "zeros": strings.Repeat("\x00", 1<<20)} {
			got, err := os.ReadFile(filepath.Join(layer, name))
			if err != nil || string(got) != want {
				t.Errorf("%s has %d bytes, %v, other than the %d packed", name, len(got), err, len(want))
			}
		}
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(layer, "holes"), &st); err != nil || st.Blocks*512 > 2<<20 {
			t.Errorf("a file with 6 MiB of zeros takes %d bytes of the disk, %v", st.Blocks*512, err)
		}
	})
}

// endless is an archive that goes on for ever.
type endless struct {
	part []byte
	off  int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.part[e.off:])
	e.off = (e.off + n) % len(e.part)
	return n, nil
}

func TestBombs(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		zeros := io.LimitReader(&endless{part: make([]byte, 1<<16)}, 1<<40)
		big := headerOf(t, File("big", "").Header, 1<<40)
		files := Archive(t, File("same", "x"))
		files = files[:len(files)-1024] // without the end
		cases := map[string]struct {
			archive io.Reader
			options unpack.Options
		}{
			"huge-file":      {io.MultiReader(bytes.NewReader(big), zeros), unpack.Options{}},
			"many-bytes":     {&endless{part: archiveWithoutEnd(t, File("f", strings.Repeat("x", 1<<20)))}, unpack.Options{MaxBytes: 100 << 20}},
			"many-files":     {&endless{part: files}, unpack.Options{MaxEntries: 10_000}},
			"dirs-memory":    {longDirs(t), unpack.Options{MaxNames: 4 << 20}},
			"endless-end":    {io.MultiReader(bytes.NewReader(Archive(t, File("f", "x"))), zeros), unpack.Options{}},
			"sparse":         {bytes.NewReader(sparseBomb()), unpack.Options{}},
			"link-to-itself": {&endless{part: archiveWithoutEnd(t, File("f", "x"), Link("g", "f"))}, unpack.Options{MaxEntries: 10_000}},
		}
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				layer := filepath.Join(h.Dir, name)
				if err := os.Mkdir(layer, 0o700); err != nil {
					t.Fatal(err)
				}
				root, err := inroot.Open(layer)
				if err != nil {
					t.Fatal(err)
				}
				defer root.Close()
				if err := unpack.Unpack(t.Context(), root, c.archive, c.options); !errors.Is(err, unpack.ErrLimit) && !errors.Is(err, unpack.ErrArchive) {
					t.Errorf("error is %v, want ErrLimit", err)
				}
				if err := inroot.Empty(root.File()); err != nil {
					t.Error(err)
				}
			})
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if m.Sys > 200<<20 {
			t.Errorf("the process took %d MiB of memory", m.Sys>>20)
		}
	})
}

// longDirs is an archive of ever more folders with names of 4000 bytes.
func longDirs(t *testing.T) io.Reader {
	t.Helper()
	r, w := io.Pipe()
	t.Cleanup(func() { r.Close() })
	go func() {
		tw := tar.NewWriter(w)
		for i := 0; ; i++ {
			name := strings.Repeat(strings.Repeat("d", 249)+"/", 16) + strconv.Itoa(i)
			if tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}) != nil {
				return
			}
		}
	}()
	return r
}

// headerOf writes a header that promises size bytes, which do not follow.
func headerOf(t *testing.T, h tar.Header, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	h.Size, h.Format = size, tar.FormatGNU
	if err := tar.NewWriter(&b).WriteHeader(&h); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func archiveWithoutEnd(t *testing.T, entries ...Entry) []byte {
	t.Helper()
	a := Archive(t, entries...)
	return a[:len(a)-1024]
}

// sparseBomb is one file of 2^62 bytes with one byte of data, in GNU's old sparse format.
func sparseBomb() []byte {
	b := make([]byte, 512)
	copy(b, "sparse")
	copy(b[100:], "0000644\x00")
	copy(b[108:], "0000000\x00")
	copy(b[116:], "0000000\x00")
	copy(b[124:], "00000000001\x00")
	copy(b[136:], "00000000000\x00")
	b[156] = 'S'
	copy(b[257:], "ustar  \x00")
	copy(b[386:], "00000000000\x00")
	copy(b[398:], "00000000001\x00")
	copy(b[483:], "\x80\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00")
	copy(b[148:], "        ")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], []byte{'0', '0' + byte(sum>>12&7), '0' + byte(sum>>9&7), '0' + byte(sum>>6&7), '0' + byte(sum>>3&7), '0' + byte(sum&7), 0, ' '})
	return append(append(b, append([]byte("x"), make([]byte, 511)...)...), make([]byte, 1024)...)
}

func TestDeepTreeIsUnpackedAndRemoved(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		// Each link leads 1900 folders down from the one before: no single name is too long.
		down := strings.Repeat("d/", 1900)
		entries, target := []Entry{Dir(down, 0o755)}, down
		for i := range 5 {
			name := string(rune('A' + i))
			entries = append(entries, Symlink(name, target), Dir(name+"/"+down, 0o755))
			target = name + "/" + down
		}
		layer, err := unpackInto(t, h.Dir, unpack.Options{}, entries...)
		if err != nil {
			t.Fatal(err)
		}
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		limit.Cur = 200
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		parent, err := os.Open(h.Dir)
		if err != nil {
			t.Fatal(err)
		}
		defer parent.Close()
		if err := inroot.RemoveAll(parent, filepath.Base(layer)); err != nil {
			t.Errorf("remove a tree of 11400 folders: %v", err)
		}
		if _, err := os.Lstat(layer); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the tree is still there: %v", err)
		}
	})
}

func TestCancel(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		ctx, cancel := context.WithCancel(t.Context())
		root, err := inroot.Open(h.Dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		r := readerFunc(func(p []byte) (int, error) {
			cancel()
			return copy(p, make([]byte, 512)), nil
		})
		if err := unpack.Unpack(ctx, root, r, unpack.Options{}); !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v, want context.Canceled", err)
		}
	})
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestVerdictOfTheReader has a reader that says at its end, after the archive's, that the digest is wrong.
func TestVerdictOfTheReader(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		wrong := errors.New("wrong digest")
		root, err := inroot.Open(h.Dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		verdict := readerFunc(func([]byte) (int, error) { return 0, wrong })
		archive := io.MultiReader(bytes.NewReader(Archive(t, File("f", "x"))), verdict)
		if err := unpack.Unpack(t.Context(), root, archive, unpack.Options{}); !errors.Is(err, wrong) {
			t.Errorf("error is %v, want that of the reader", err)
		}
	})
}
