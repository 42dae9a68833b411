package rootfs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
	"ctr/rootfs"
	. "ctr/rootfs/internal/tartest"
)

// overlay makes the folders of an overlay with n layers; each has a file of its own and one that it shares with all.
func overlay(t testing.TB, dir string, n int) rootfs.Overlay {
	t.Helper()
	o := rootfs.Overlay{Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work"), Target: filepath.Join(dir, "target")}
	for _, d := range []string{o.Upper, o.Work, o.Target} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		// A long path, with what mount options would need escapes for.
		d := filepath.Join(dir, strings.Repeat("long,:\\ =", 10), fmt.Sprint(i))
		if err := errors.Join(os.MkdirAll(d, 0o755), os.WriteFile(filepath.Join(d, fmt.Sprint("own-", i)), []byte("x"), 0o644),
			os.WriteFile(filepath.Join(d, "shared"), []byte(fmt.Sprint(i)), 0o644)); err != nil {
			t.Fatal(err)
		}
		o.Lower = append(o.Lower, d)
	}
	return o
}

func mountinfo(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// olderThan tells whether the kernel is older than that.
func olderThan(t *testing.T, major, minor int) bool {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	var x, y int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &x, &y); err != nil {
		t.Fatal(err)
	}
	return x < major || x == major && y < minor
}

func TestOverlay(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		for _, n := range []int{0, 1, 2, 61, 200, 400} {
			t.Run(fmt.Sprint(n, "-layers"), func(t *testing.T) {
				o := overlay(t, filepath.Join(h.Dir, fmt.Sprint(n)), n)
				before := mountinfo(t)
				err := rootfs.WithPrivateMounts(func() error {
					if err := o.Mount(); err != nil {
						return err
					}
					if got := len(Tree(t, o.Target)); n > 0 && got != n+1 {
						t.Errorf("%d files are seen, want %d", got, n+1)
					}
					if n > 0 {
						if got, err := os.ReadFile(filepath.Join(o.Target, "shared")); err != nil || string(got) != fmt.Sprint(n-1) {
							t.Errorf("the shared file is that of layer %q, %v, want the top's", got, err)
						}
					}
					if after := mountinfo(t); after != before {
						t.Error("the mount is in the mount table of the process")
					}
					return os.WriteFile(filepath.Join(o.Target, "new"), nil, 0o644)
				})
				if errors.Is(err, rootfs.ErrTooManyLayers) && n == 400 && olderThan(t, 6, 5) {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if _, err := os.Stat(filepath.Join(o.Upper, "new")); err != nil {
					t.Errorf("a new file is not in the upper folder: %v", err)
				}
				if entries, err := os.ReadDir(o.Target); err != nil || len(entries) != 0 {
					t.Errorf("outside of the namespace the target shows %v, %v", entries, err)
				}
			})
		}
	})
}

func TestReadOnlyOverlays(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		for name, change := range map[string]func(*rootfs.Overlay){
			"with-upper":           func(o *rootfs.Overlay) { o.ReadOnly = true },
			"with-upper-one-layer": func(o *rootfs.Overlay) { o.ReadOnly, o.Lower = true, o.Lower[:1] },
			"upper-alone":          func(o *rootfs.Overlay) { o.ReadOnly, o.Lower = true, nil },
			"layers-alone":         func(o *rootfs.Overlay) { o.Upper, o.Work = "", "" },
			"one-layer-alone":      func(o *rootfs.Overlay) { o.Upper, o.Work, o.Lower = "", "", o.Lower[:1] },
		} {
			t.Run(name, func(t *testing.T) {
				o := overlay(t, filepath.Join(h.Dir, name), 3)
				change(&o)
				err := rootfs.WithPrivateMounts(func() error {
					if err := o.Mount(); err != nil {
						return err
					}
					if err := os.WriteFile(filepath.Join(o.Target, "new"), nil, 0o644); !errors.Is(err, unix.EROFS) {
						t.Errorf("writing gives %v, want EROFS", err)
					}
					if got := len(Tree(t, o.Target)); len(o.Lower) > 0 && got != len(o.Lower)+1 {
						t.Errorf("%d files are seen, want %d", got, len(o.Lower)+1)
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			})
		}
	})
}

func TestVolatileOverlay(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		o := overlay(t, h.Dir, 2)
		o.Volatile = true
		err := rootfs.WithPrivateMounts(func() error {
			if err := o.Mount(); err != nil {
				return err
			}
			info, err := os.ReadFile("/proc/thread-self/mountinfo")
			if err != nil || !strings.Contains(string(info), "volatile") {
				t.Errorf("the mount is not volatile, %v", err)
			}
			return os.WriteFile(o.Target+"/kept", nil, 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
		err = rootfs.WithPrivateMounts(func() error {
			if err := o.Mount(); err == nil {
				t.Error("mounted again as it was")
			}
			if err := rootfs.Settle(o.Work); err != nil {
				return err
			}
			if err := o.Mount(); err != nil {
				return err
			}
			_, err := os.Stat(o.Target + "/kept")
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestOverlayErrors(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		for name, change := range map[string]func(*rootfs.Overlay){
			"no-such-layer":  func(o *rootfs.Overlay) { o.Lower[0] = "/none" },
			"empty-layer":    func(o *rootfs.Overlay) { o.Lower[0] = "" },
			"no-such-target": func(o *rootfs.Overlay) { o.Target = "/none" },
			"upper-alone":    func(o *rootfs.Overlay) { o.Work = "" },
			"nothing":        func(o *rootfs.Overlay) { *o = rootfs.Overlay{Target: o.Target} },
			"work-elsewhere": func(o *rootfs.Overlay) { o.Work = "/run" },
			"target-is-link": func(o *rootfs.Overlay) {
				if err := os.Symlink(o.Upper, o.Target+"-link"); err != nil {
					t.Fatal(err)
				}
				o.Target += "-link"
			},
		} {
			t.Run(name, func(t *testing.T) {
				o := overlay(t, filepath.Join(h.Dir, name), 2)
				change(&o)
				err := rootfs.WithPrivateMounts(func() error {
					before, err := os.ReadFile("/proc/thread-self/mountinfo")
					if err != nil {
						return err
					}
					if err := o.Mount(); err == nil || !strings.Contains(err.Error(), o.Target) {
						t.Errorf("error is %v, want one that names %q", err, o.Target)
					}
					after, err := os.ReadFile("/proc/thread-self/mountinfo")
					if string(before) != string(after) {
						t.Error("a mount is left")
					}
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
			})
		}
	})
}

func TestPrivateMountsEnd(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		before := mountinfo(t)
		failed := errors.New("failed")
		for range 20 {
			err := rootfs.WithPrivateMounts(func() error {
				if unix.Gettid() == unix.Getpid() {
					t.Error("it runs on the main thread")
				}
				if err := unix.Mount("tmpfs", h.Dir, "tmpfs", 0, ""); err != nil {
					return err
				}
				return failed
			})
			if !errors.Is(err, failed) {
				t.Errorf("error is %v", err)
			}
		}
		if after := mountinfo(t); after != before {
			t.Errorf("mount table was:\n%s\nand is:\n%s", before, after)
		}
		// Other threads are where they were; those of the calls end soon after them.
		deadline := time.Now().Add(30 * time.Second)
		for strays := strayThreads(t); len(strays) > 0; strays = strayThreads(t) {
			if time.Now().After(deadline) {
				t.Fatalf("threads in other mount namespaces: %q", strays)
			}
			runtime.Gosched()
		}
	})
}

// strayThreads returns the threads that are in another mount namespace than the process.
func strayThreads(t *testing.T) []string {
	t.Helper()
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	threads, err := filepath.Glob("/proc/self/task/*/ns/mnt")
	if err != nil || len(threads) == 0 {
		t.Fatal(threads, err)
	}
	return slices.DeleteFunc(threads, func(thread string) bool {
		ns, err := os.Readlink(thread)
		return err != nil || ns == own
	})
}

// TestPrivateMountsSeeNewMountsOfTheHost checks that the namespace is a slave and no private copy.
func TestPrivateMountsSeeNewMountsOfTheHost(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		if err := errors.Join(unix.Mount("tmpfs", h.Dir, "tmpfs", 0, ""), unix.Mount("", h.Dir, "", unix.MS_SHARED, ""), os.Mkdir(h.Dir+"/m", 0o755)); err != nil {
			t.Fatal(err)
		}
		inside, mounted := make(chan struct{}), make(chan error)
		go func() {
			<-inside
			mounted <- unix.Mount("tmpfs", h.Dir+"/m", "tmpfs", 0, "mode=0123")
		}()
		err := rootfs.WithPrivateMounts(func() error {
			close(inside)
			if err := <-mounted; err != nil {
				return err
			}
			info, err := os.Stat(h.Dir + "/m")
			if err == nil && info.Mode().Perm() != 0o123 {
				t.Errorf("the host's new mount is not seen: mode %v", info.Mode())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkOverlayMount(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root")
	}
	for _, n := range []int{1, 8, 60} {
		b.Run(fmt.Sprint(n, "-layers"), func(b *testing.B) {
			dir, err := os.MkdirTemp("/var/tmp", "ctr-bench-")
			if err != nil {
				b.Fatal(err)
			}
			defer os.RemoveAll(dir)
			o := overlay(b, dir, n)
			err = rootfs.WithPrivateMounts(func() error {
				for b.Loop() {
					if err := o.Mount(); err != nil {
						return err
					}
					b.StopTimer() // unmounting syncs the whole file system of the upper folder
					if err := unix.Unmount(o.Target, 0); err != nil {
						return err
					}
					b.StartTimer()
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkWithPrivateMounts(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root")
	}
	for b.Loop() {
		if err := rootfs.WithPrivateMounts(func() error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
