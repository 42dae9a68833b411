package inroot_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
	"ctr/rootfs/inroot"
)

// newRoot makes a root with a few traps, beside a folder that belongs to the host.
func newRoot(t *testing.T, dir string) (root *inroot.Root, path, host string) {
	t.Helper()
	path, host = filepath.Join(dir, "root"), filepath.Join(dir, "host")
	if err := errors.Join(os.MkdirAll(path+"/a/b", 0o755), os.Mkdir(host, 0o755), os.WriteFile(host+"/secret", []byte("secret"), 0o600),
		os.WriteFile(path+"/a/f", []byte("inside"), 0o644), os.Symlink(host, path+"/abs"), os.Symlink("../host", path+"/rel"),
		os.Symlink("/proc/self/root", path+"/magic"), os.Symlink("a", path+"/in"), os.Symlink("loop", path+"/loop"),
		os.Symlink("/made/by/link", path+"/dangling"), unix.Mkfifo(path+"/fifo", 0o666)); err != nil {
		t.Fatal(err)
	}
	root, err := inroot.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root, path, host
}

func TestReadFile(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		root, _, host := newRoot(t, h.Dir)
		for name, want := range map[string]error{
			"a/f": nil, "/a/f": nil, "in/f": nil, "../../a/f": nil, "a/../../a/f": nil, "a/b/../f": nil,
			"abs/secret": os.ErrNotExist, "rel/secret": os.ErrNotExist, "magic" + host + "/secret": os.ErrNotExist,
			"../host/secret": os.ErrNotExist, host + "/secret": os.ErrNotExist,
			"loop": unix.ELOOP, "fifo": inroot.ErrNotRegular, "a": inroot.ErrNotRegular, "": inroot.ErrNotRegular, "a/f/x": unix.ENOTDIR,
		} {
			data, err := root.ReadFile(name, 100)
			if !errors.Is(err, want) || want == nil && string(data) != "inside" {
				t.Errorf("%q holds %q, %v, want error %v", name, data, err, want)
			}
		}
		if _, err := root.ReadFile("a/f", 5); !errors.Is(err, inroot.ErrTooLarge) {
			t.Errorf("a file of 6 bytes gives %v, want ErrTooLarge", err)
		}
		if _, err := root.ReadFile("a/f", 6); err != nil {
			t.Error(err)
		}
	})
}

func TestMkdirAll(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		unix.Umask(0o077)
		root, path, host := newRoot(t, h.Dir)
		for name, made := range map[string]string{
			"x/y/z": "x/y/z", "/in/c": "a/c", "abs/new": host + "/new", "rel/r": "host/r", "dangling/more": "made/by/link/more",
			"../../up": "up", "n/../m": "m", "q/./r//s/": "q/r/s", "a/b": "a/b", "dangling/../sibling": "made/by/sibling",
		} {
			d, err := root.MkdirAll(name, 0o2755, 7, 8)
			if err != nil {
				t.Errorf("%q: %v", name, err)
				continue
			}
			var opened, named unix.Stat_t
			if err := errors.Join(unix.Fstat(int(d.Fd()), &opened), unix.Lstat(filepath.Join(path, made), &named)); err != nil || opened.Ino != named.Ino {
				t.Errorf("%q is not %q, %v", name, made, err)
			}
			if made != "a/b" && (named.Uid != 7 || named.Gid != 8 || named.Mode&0o7777 != 0o2755) {
				t.Errorf("%q belongs to %d:%d and has mode %o", name, named.Uid, named.Gid, named.Mode)
			}
			d.Close()
		}
		for name, want := range map[string]error{"a/f/x": unix.EEXIST, "loop/x": unix.ELOOP, "fifo/x": unix.EEXIST, strings.Repeat("n", 256): unix.ENAMETOOLONG} {
			if d, err := root.MkdirAll(name, 0o755, 0, 0); err == nil {
				d.Close()
				t.Errorf("%q was made", name)
			} else if !errors.Is(err, want) && !errors.Is(err, unix.ENOTDIR) {
				t.Errorf("%q gives %v, want %v", name, err, want)
			}
		}
		if entries, err := os.ReadDir(host); err != nil || len(entries) != 1 {
			t.Errorf("the host's folder holds %v, %v", entries, err)
		}
	})
}

// TestSwappedLinks opens a path while somebody swaps a folder in it for a link to the host.
func TestSwappedLinks(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		root, path, host := newRoot(t, h.Dir)
		if err := errors.Join(os.Mkdir(path+"/swap", 0o755), os.WriteFile(path+"/swap/secret", []byte("inside"), 0o644), os.Symlink(host, path+"/link")); err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = unix.Renameat2(unix.AT_FDCWD, path+"/swap", unix.AT_FDCWD, path+"/link", unix.RENAME_EXCHANGE)
				}
			}
		})
		found := 0
		for range 5000 {
			data, err := root.ReadFile("a/../swap/secret", 100)
			if err == nil && string(data) != "inside" {
				t.Errorf("read %q", data)
			}
			if err == nil {
				found++
			}
		}
		close(stop)
		wg.Wait()
		if found == 0 {
			t.Error("the file inside was never found")
		}
	})
}
