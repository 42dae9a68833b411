package rootfs_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
	"ctr/rootfs"
	. "ctr/rootfs/internal/tartest"
)

// initLayer is what the init layer holds.
var initLayer = tree("dev", emptyDir, "dev/pts", emptyDir, "dev/shm", emptyDir, "dev/console", "file 0644 0:0", "proc", emptyDir, "sys", emptyDir,
	"etc", emptyDir, "etc/hosts", "file 0644 0:0", "etc/hostname", "file 0644 0:0", "etc/resolv.conf", "file 0644 0:0", "etc/mtab", "link 0:0 -> /proc/mounts")

// TestEvilRootfs has images and containers that put links, FIFOs and files where the engine mounts.
func TestEvilRootfs(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		unix.Umask(0o077)
		victim := filepath.Join(h.Dir, "victim")
		if err := errors.Join(os.Mkdir(victim, 0o755), os.WriteFile(victim+"/ptmx", []byte("host's"), 0o600)); err != nil {
			t.Fatal(err)
		}
		before, etc := Tree(t, victim), Tree(t, "/etc")
		for name, entries := range map[string][]Entry{
			"nothing":         nil,
			"dev-link":        {Symlink("dev", victim)},
			"dev-far-link":    {Symlink("dev", strings.Repeat("../", 30)+victim)},
			"all-links":       {Symlink("dev", victim), Symlink("proc", "/proc"), Symlink("sys", victim), Symlink("etc", "/etc")},
			"etc-files-links": {Symlink("etc/hosts", victim+"/ptmx"), Symlink("etc/hostname", "/etc/passwd"), Symlink("etc/resolv.conf", "/etc/hosts"), Symlink("etc/mtab", victim+"/new")},
			"fifos":           {Node('6', "dev", 0, 0), Node('6', "etc/hosts", 0, 0), Node('6', "proc", 0, 0)},
			"files":           {File("dev", "x"), File("proc", "x"), File("sys", "x"), File("etc", "x")},
			"dirs-for-files":  {Dir("etc/hosts", 0o755), File("etc/mtab/x", "x"), File("etc/resolv.conf/y", "y")},
			"devices":         {Node('3', "etc/hosts", 1, 5), Node('3', "dev/console", 5, 1)},
			"pts-link":        {Symlink("dev/pts", victim), Symlink("dev/shm", "/tmp"), Symlink("dev/console", "/dev/vda")},
			"loops":           {Symlink("dev", "dev"), Symlink("etc", "etc/etc"), Symlink("proc", "sys"), Symlink("sys", "proc")},
			"parts-are-there": {Dir("dev", 0o755), Dir("etc", 0o755), File("etc/hosts", "")},
		} {
			t.Run(name, func(t *testing.T) {
				// In the image: the upper folder hides it.
				dir := filepath.Join(h.Dir, name)
				o := overlay(t, dir, 0)
				image, err := unpackLayer(t, dir, entries)
				if err != nil {
					t.Fatal(err)
				}
				if err := rootfs.PrepareInitLayer(o.Upper, image); err != nil {
					t.Fatal(err)
				}
				o.Lower = []string{image}
				err = rootfs.WithPrivateMounts(func() error {
					if err := o.Mount(); err != nil {
						return err
					}
					seen := Tree(t, o.Target)
					maps.DeleteFunc(seen, func(name, _ string) bool { _, ok := initLayer[name]; return !ok })
					if d := Diff(initLayer, seen); d != "" {
						t.Errorf("over the image:\n%s", d)
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				// In the upper folder itself, where the container put it.
				own, err := unpackLayer(t, filepath.Join(dir, "own"), entries)
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if err := rootfs.PrepareInitLayer(own); err != nil {
						t.Fatal(err)
					}
				}
				got := Tree(t, own)
				for n, d := range got {
					got[n] = strings.TrimSuffix(d, " opaque")
				}
				if d := Diff(initLayer, got); d != "" {
					t.Errorf("in the container's own folder:\n%s", d)
				}
				if d := Diff(before, Tree(t, victim)); d != "" {
					t.Errorf("the host changed:\n%s", d)
				}
			})
		}
		if d := Diff(etc, Tree(t, "/etc")); d != "" {
			t.Errorf("the host's /etc changed:\n%s", d)
		}
	})
}

// unpackLayer unpacks the entries into a layer below dir.
func unpackLayer(t *testing.T, dir string, entries []Entry) (string, error) {
	t.Helper()
	l := openLayers(t, dir)
	err := l.Unpack(t.Context(), chainID(1), strings.NewReader(string(Archive(t, entries...))))
	return l.Path(chainID(1)), err
}

func TestInitLayerKeepsAttributesAndContent(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		image, err := unpackLayer(t, h.Dir, []Entry{Dir("etc", 0o2750).Owner(3, 4), File("etc/passwd", "x")})
		if err != nil {
			t.Fatal(err)
		}
		upper := filepath.Join(h.Dir, "upper")
		if err := os.Mkdir(upper, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := rootfs.PrepareInitLayer(upper, image); err != nil {
			t.Fatal(err)
		}
		if got := Tree(t, upper)["etc"]; got != "dir 2750 3:4" {
			t.Errorf("/etc is %q, want the image's attributes", got)
		}
		// A container that was stopped keeps what it wrote.
		if err := errors.Join(os.WriteFile(upper+"/etc/hosts", []byte("mine"), 0o600), os.Chmod(upper+"/etc", 0o700)); err != nil {
			t.Fatal(err)
		}
		if err := rootfs.PrepareInitLayer(upper, image); err != nil {
			t.Fatal(err)
		}
		got := Tree(t, upper)
		if got["etc/hosts"] != "file 0644 0:0 mine" || got["etc"] != "dir 0700 3:4" {
			t.Errorf("/etc/hosts is %q, /etc is %q", got["etc/hosts"], got["etc"])
		}
	})
}

func BenchmarkPrepareInitLayer(b *testing.B) {
	for b.Loop() {
		upper := b.TempDir()
		if err := rootfs.PrepareInitLayer(upper); err != nil {
			b.Fatal(err)
		}
	}
}
