package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
	"ctr/runtime/container"
)

func TestMountsInTheContainer(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		dir := filepath.Join(h.Dir, "source")
		if err := os.MkdirAll(filepath.Join(dir, "below"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", filepath.Join(dir, "below"), "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte("text\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		c := b.config()
		c.Mounts = []container.Mount{
			{Type: container.MountBind, Source: dir, Target: "/rw"},
			{Type: container.MountBind, Source: dir, Target: "/ro/deep", ReadOnly: true},
			{Type: container.MountBind, Source: filepath.Join(dir, "file"), Target: "/etc/hosts"},
			{Type: container.MountTmpfs, Target: "/t", Options: []string{"size=64k", "mode=0700"}},
		}
		c.Binds = []Bind{{Source: filepath.Join(b.root, "etc/group"), Target: "/etc/hosts"}, {Source: filepath.Join(dir, "file"), Target: "/etc/hostname"}}
		got := b.sh(c, `cat /etc/hosts /etc/hostname
			echo 1 >/rw/below/x && echo wrote
			for f in /ro/deep/x /ro/deep/below/x; do (echo >$f) 2>&1 | grep -o 'Read-only file system'; done
			stat -c %a /t; head -c 100000 /dev/zero >/t/x 2>/dev/null || echo full
			grep -E ' /(t|dev/shm|dev/mqueue|proc|sys) ' /proc/mounts | cut -d' ' -f2,4 | grep -c 'nosuid,nodev,noexec'`)
		want := "text\ntext\nwrote\nRead-only file system\nRead-only file system\n700\nfull\n5\n"
		if got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}

		// Targets that are links of the image stay inside it (CVE-2015-3629).
		if err := os.Symlink(filepath.Join(h.Dir, "outside"), filepath.Join(b.root, "link")); err != nil {
			t.Fatal(err)
		}
		c = b.config()
		c.Mounts = []container.Mount{{Type: container.MountBind, Source: dir, Target: "/link/x"}}
		b.sh(c, "cat /link/x/file")
		c = b.config()
		c.WorkDir = "/link/y"
		b.sh(c, "pwd")
		if _, err := os.Stat(filepath.Join(h.Dir, "outside")); err == nil {
			t.Error("made outside of the root")
		}
	})
}

func TestMountsReachWhereTheyShould(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		for propagation, want := range map[string]struct{ toHost, toContainer bool }{
			"": {}, "private": {}, "rslave": {toContainer: true}, "slave": {toContainer: true},
			"rshared": {true, true}, "shared": {true, true},
		} {
			dir := filepath.Join(h.Dir, "shared-"+propagation)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"fromHost", "fromContainer"} {
				if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			c := b.config("sleep", "1000")
			c.Spec.Security.Privileged = true
			c.Mounts = []container.Mount{{Type: container.MountBind, Source: dir, Target: "/shared", Propagation: propagation}}
			b.start(c)
			if err := unix.Mount("tmpfs", filepath.Join(dir, "fromHost"), "tmpfs", 0, ""); err != nil {
				t.Fatal(err)
			}
			r, err := b.exec(c, ExecConfig{Args: []string{"sh", "-c", "mount -t tmpfs x /shared/fromContainer; grep -c ' /shared/fromHost ' /proc/mounts"}})
			if err != nil || (r.stdout == "1\n") != want.toContainer {
				t.Errorf("%q: in the container: %+v, %v", propagation, r, err)
			}
			mounts, err := os.ReadFile("/proc/thread-self/mounts")
			if err != nil || strings.Contains(string(mounts), dir+"/fromContainer ") != want.toHost {
				t.Errorf("%q: on the host, %v:\n%s", propagation, err, mounts)
			}
		}
	})
}
