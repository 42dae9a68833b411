package engine

import (
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
)

// BenchmarkConfig is what libcontainer is to do, from what the container is to be.
func BenchmarkConfig(b *testing.B) {
	c, h := plainConfig(), plainHost()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := c.libcontainer(h); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTrue is a whole container: create, release, wait, destroy.
func BenchmarkTrue(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root")
	}
	b.Run("all", func(b *testing.B) { benchmarkTrue(b, false, true) })
	b.Run("seccomp-by-init", func(b *testing.B) { benchmarkTrue(b, false, false) })
	b.Run("mounts-by-init", func(b *testing.B) { benchmarkTrue(b, true, true) })
}

func benchmarkTrue(b *testing.B, plain, cache bool) {
	dir := b.TempDir()
	box := newBox(b, &testhost.Host{Dir: dir, Root: dir + "/data", RunRoot: dir + "/run"})
	b.Cleanup(func() { removeParents(b, box.h) })
	started, created := time.Duration(0), time.Duration(0)
	b.ResetTimer()
	for range b.N {
		c := box.config("true")
		c.plain = plain
		if cache {
			c.SeccompCache = dir + "/seccomp"
		}
		begin := time.Now()
		x, err := box.create(c, Stdio{})
		if err != nil {
			b.Fatal(err)
		}
		created += time.Since(begin)
		if err := x.Release(); err != nil {
			b.Fatal(err)
		}
		if code, err := x.Wait(); code != 0 || err != nil {
			b.Fatal(code, err)
		}
		started += time.Since(begin)
		if err := x.Destroy(); err != nil {
			b.Fatal(err)
		}
		runtime.KeepAlive(x)
	}
	b.ReportMetric(float64(created.Microseconds())/1000/float64(b.N), "create-ms/op")
	b.ReportMetric(float64(started.Microseconds())/1000/float64(b.N), "wait-ms/op")
}

// removeParents removes the folders above the containers' cgroups.
func removeParents(b testing.TB, h *testhost.Host) {
	m, err := record{Cgroup: "/ctr-" + h.Tag()}.cgroup()
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range m.GetPaths() {
		if err := unix.Rmdir(path); err != nil && err != unix.ENOENT {
			b.Errorf("remove %q: %v", path, err)
		}
	}
}
