package rootfs_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/internal/idmap"
	"ctr/internal/testhost"
	"ctr/rootfs"
	. "ctr/rootfs/internal/tartest"
)

func volume(t *testing.T, dir string) string {
	t.Helper()
	v := filepath.Join(dir, "volume", "_data")
	if err := os.MkdirAll(v, 0o755); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCopyUp(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		unix.Umask(0o077)
		image, err := unpackLayer(t, h.Dir, []Entry{
			Dir("var/data", 0o2750).Owner(10, 20), File("var/data/f", "x").Perm(0o4711).Owner(1, 2).Xattr("user.mine", "yes"), Link("var/data/g", "var/data/f"),
			Symlink("var/data/s", "/etc/passwd").Owner(3, 3), Dir("var/data/sub", 0o1777), File("var/data/sub/deep", strings.Repeat("y", 300_000)),
			Link("var/data/sub/linked", "var/data/f"), Node('6', "var/data/pipe", 0, 0), Node('3', "var/data/null", 1, 3).Perm(0o666),
			Symlink("volume", "/var/data"), Symlink("to-host", "../../../../../../etc"), Dir("empty", 0o700).Owner(7, 7), File("file", "x"),
		})
		if err != nil {
			t.Fatal(err)
		}
		whole := Tree(t, filepath.Join(image, "var/data"))
		for name, c := range map[string]struct {
			want  map[string]string
			owner string
		}{
			"/var/data": {whole, "dir 2750 10:20"},
			"/volume":   {whole, "dir 2750 10:20"}, // a link, followed inside the image
			"/empty":    {tree(), "dir 0700 7:7"},
			"/none":     {tree(), "dir 0755 0:0"},
			"/to-host":  {tree(), "dir 0755 0:0"}, // the image has no /etc
		} {
			t.Run(name, func(t *testing.T) {
				dir := filepath.Join(h.Dir, "to", name)
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				v := volume(t, dir)
				if err := os.Chmod(v, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := rootfs.CopyUp(t.Context(), image, name, v, idmap.Map{}, nil); err != nil {
					t.Fatal(err)
				}
				if d := Diff(c.want, Tree(t, v)); d != "" {
					t.Errorf("volume differs:\n%s", d)
				}
				if got := Tree(t, filepath.Dir(v)); got["_data"] != c.owner || got[".copying-_data"] != "" {
					t.Errorf("the volume itself is %q, want %q; marker %q", got["_data"], c.owner, got[".copying-_data"])
				}
			})
		}
		v := filepath.Join(h.Dir, "to/var/data/volume/_data")
		var st [3]unix.Stat_t
		if err := errors.Join(unix.Stat(v+"/f", &st[0]), unix.Stat(v+"/g", &st[1]), unix.Stat(v+"/sub/linked", &st[2])); err != nil ||
			st[0].Ino != st[1].Ino || st[0].Ino != st[2].Ino || st[0].Nlink != 3 {
			t.Errorf("hard links are not kept: %v", err)
		}
		value := make([]byte, 10)
		if n, err := unix.Getxattr(v+"/f", "user.mine", value); err != nil || string(value[:n]) != "yes" {
			t.Errorf("attribute is %q, %v", value, err)
		}
		info, err := os.Stat(v + "/sub")
		if err != nil || !info.ModTime().Equal(Time) {
			t.Errorf("time of a folder is %v, %v", info.ModTime(), err)
		}
		if err := rootfs.CopyUp(t.Context(), image, "/file", volume(t, h.Dir), idmap.Map{}, nil); !errors.Is(err, unix.ENOTDIR) {
			t.Errorf("copying a file gives %v", err)
		}
	})
}

func TestCopyUpOnlyAtFirstUse(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		image, err := unpackLayer(t, h.Dir, manyFiles(50))
		if err != nil {
			t.Fatal(err)
		}
		v := volume(t, h.Dir)
		if err := os.WriteFile(v+"/mine", nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := rootfs.CopyUp(t.Context(), image, "/d", v, idmap.Map{}, nil); err != nil {
			t.Fatal(err)
		}
		if got := Tree(t, v); len(got) != 1 {
			t.Errorf("a used volume got %d files", len(got))
		}
		// With the marker of a copy that was killed, what is there is a part, and is done again.
		if err := os.WriteFile(filepath.Dir(v)+"/.copying-_data", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := rootfs.CopyUp(t.Context(), image, "/d", v, idmap.Map{}, nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := Tree(t, v); len(got) != 50 || got["mine"] != "" {
			t.Errorf("after a killed copy the volume has %d files", len(got))
		}
	})
}

func TestCopyUpToFullDisk(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		image, err := unpackLayer(t, h.Dir, []Entry{File("d/a", "x"), File("d/b", strings.Repeat("x", 8<<20))})
		if err != nil {
			t.Fatal(err)
		}
		disk := filepath.Join(h.Dir, "disk")
		if err := errors.Join(os.Mkdir(disk, 0o755), unix.Mount("tmpfs", disk, "tmpfs", 0, "size=4m")); err != nil {
			t.Fatal(err)
		}
		v := volume(t, disk)
		if err := rootfs.CopyUp(t.Context(), image, "/d", v, idmap.Map{}, nil); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("error is %v, want ENOSPC", err)
		}
		if got := Tree(t, filepath.Dir(v)); len(got) != 1 {
			t.Errorf("left behind: %v", got)
		}
	})
}

func TestRemoveAll(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		dir, victim := filepath.Join(h.Dir, "container"), filepath.Join(h.Dir, "victim")
		if err := errors.Join(os.MkdirAll(dir+"/merged/below", 0o755), os.MkdirAll(victim+"/sub", 0o755), os.WriteFile(victim+"/sub/f", nil, 0o644),
			os.Symlink(victim, dir+"/link"), os.Symlink(victim, dir+"/merged/link"), os.WriteFile(dir+"/merged/file", nil, 0o644)); err != nil {
			t.Fatal(err)
		}
		before := Tree(t, victim)
		for name, mount := range map[string]string{"dir": dir + "/merged", "deep": dir + "/merged/below", "file": dir + "/merged/file", "itself": dir} {
			source := victim
			if name == "file" {
				source = victim + "/sub/f"
			}
			if err := unix.Mount(source, mount, "", unix.MS_BIND, ""); err != nil {
				t.Fatal(err)
			}
			seen := Tree(t, dir)
			if err := rootfs.RemoveAll(dir); !errors.Is(err, rootfs.ErrMounted) {
				t.Errorf("%s mounted: error is %v, want ErrMounted", name, err)
			}
			if d := Diff(seen, Tree(t, dir)); d != "" {
				t.Errorf("%s mounted: something was removed all the same:\n%s", name, d)
			}
			if err := unix.Unmount(mount, 0); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := rootfs.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		}
		if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it is still there: %v", err)
		}
		if err := rootfs.RemoveAll("/none/at/all"); err != nil {
			t.Error(err)
		}
		if err := rootfs.RemoveAll("/"); err == nil {
			t.Error("the root was removed")
		}
		if d := Diff(before, Tree(t, victim)); d != "" {
			t.Errorf("what a link leads to changed:\n%s", d)
		}
	})
}
