package engine

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
	"ctr/runtime/container"
)

// The process's first thread stays that of main. Were it a goroutine's that enters a mount namespace and ends, /proc/self
// would show that namespace for good.
func init() { runtime.LockOSThread() }

// A box is a place to run containers of busybox in: a root file system and a state folder in a test's host.
type box struct {
	t    testing.TB
	h    *testhost.Host
	root string
}

func newBox(t testing.TB, h *testhost.Host) *box {
	t.Helper()
	b := &box{t: t, h: h, root: filepath.Join(h.Dir, "rootfs")}
	for _, dir := range []string{"bin", "dev", "proc", "sys", "etc", "root", "tmp", "home/alice"} {
		if err := os.MkdirAll(filepath.Join(b.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	b.copy(busybox, "/bin/busybox")
	list, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(string(list)) {
		if name != "busybox" {
			if err := os.Symlink("busybox", filepath.Join(b.root, "bin", name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n", 0o644)
	b.write("/etc/group", "root:x:0:\nalice:x:1000:\n", 0o644)
	return b
}

func (b *box) write(path, text string, perm os.FileMode) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.root, path), []byte(text), perm); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) copy(from, to string) {
	b.t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		b.t.Fatal(err)
	}
	b.write(to, string(data), 0o755)
}

// config is a container that runs the arguments, with namespaces of its own.
func (b *box) config(args ...string) Config {
	id := make([]byte, 32)
	rand.Read(id)
	spec := &container.Spec{ID: hex.EncodeToString(id)}
	return Config{
		Spec: spec, StateDir: filepath.Join(b.h.RunRoot, "containers"), Rootfs: b.root, Args: args,
		Hostname: spec.ID[:12], Cgroup: "ctr-" + b.h.Tag() + "/" + spec.ID,
	}
}

// create makes a container as the monitor does: on a thread of its own, in a private mount namespace.
func (b *box) create(c Config, io Stdio) (x *Created, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		if err = unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
			return
		}
		if err = unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
			return
		}
		x, err = Create(c, io, Beside{})
	}()
	<-done
	return x, err
}

// result is how a program in a container ended.
type result struct {
	code           int
	stdout, stderr string
	warnings       []string
}

// run runs a container to its end and removes it.
func (b *box) run(c Config) result {
	b.t.Helper()
	r, err := b.tryRun(c)
	if err != nil {
		b.t.Fatalf("run %q: %v", c.Args, err)
	}
	return r
}

func (b *box) tryRun(c Config) (r result, err error) {
	b.t.Helper()
	out, errs := b.pipe(), b.pipe()
	x, err := b.create(c, Stdio{Stdout: out.w, Stderr: errs.w})
	out.w.Close()
	errs.w.Close()
	if err != nil {
		return r, err
	}
	if err := x.Release(); err != nil {
		return r, err
	}
	r.code, err = x.Wait()
	if err != nil {
		return r, err
	}
	r.stdout, r.stderr, r.warnings = out.text(), errs.text(), x.Warnings
	return r, x.Destroy()
}

// sh runs a shell script in a container and returns what it wrote to stdout; it must end with 0.
func (b *box) sh(c Config, script string) string {
	b.t.Helper()
	c.Args = []string{"sh", "-c", script}
	r := b.run(c)
	if r.code != 0 {
		b.t.Fatalf("sh -c %q: exit code %d\n%s%s", script, r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// start starts a container that stays; it is destroyed after the test.
func (b *box) start(c Config) *Created {
	b.t.Helper()
	x, err := b.create(c, Stdio{Stderr: os.Stderr})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := x.Destroy(); err != nil {
			b.t.Errorf("destroy: %v", err)
		}
	})
	if err := x.Release(); err != nil {
		b.t.Fatal(err)
	}
	return x
}

// exec runs a program in a container to its end.
func (b *box) exec(c Config, e ExecConfig) (r result, err error) {
	b.t.Helper()
	out, errs := b.pipe(), b.pipe()
	p, err := Exec(c.StateDir, c.Spec.ID, e, Stdio{Stdout: out.w, Stderr: errs.w})
	out.w.Close()
	errs.w.Close()
	if err != nil {
		return r, err
	}
	r.code, err = p.Wait()
	r.stdout, r.stderr = out.text(), errs.text()
	return r, err
}

// A stream is a pipe that is read to its end in the background.
type stream struct {
	w     *os.File
	first chan struct{} // closed when something was read
	done  chan struct{} // closed at the end
	buf   bytes.Buffer
}

func (b *box) pipe() *stream {
	b.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	s := &stream{w: w, first: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		defer r.Close()
		io.CopyN(&s.buf, r, 1)
		close(s.first)
		io.Copy(&s.buf, r)
	}()
	return s
}

func (s *stream) text() string {
	<-s.done
	return s.buf.String()
}

// nothingLeft fails the test if the containers left anything of their own.
func (b *box) nothingLeft() {
	b.t.Helper()
	left, err := filepath.Glob(filepath.Join(b.h.RunRoot, "containers", "*", "*"))
	if err != nil || len(left) > 0 {
		b.t.Errorf("state left behind: %v %v", left, err)
	}
	for _, pattern := range []string{"/sys/fs/cgroup/*/ctr-%s/*/cgroup.procs", "/sys/fs/cgroup/ctr-%s/*/cgroup.procs"} {
		left, err := filepath.Glob(fmt.Sprintf(pattern, b.h.Tag()))
		if err != nil || len(left) > 0 {
			b.t.Errorf("cgroups left behind: %v %v", left, err)
		}
	}
}
