package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
	"ctr/runtime/container"
)

func TestJoinedNamespaces(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		target := b.config("sh", "-c", "hostname target; ip link set lo up; echo shared >/dev/shm/file; exec sleep 1000")
		target.Spec.Security.CapAdd = []string{"NET_ADMIN", "SYS_ADMIN"}
		x := b.start(target)
		if err := awaitProgram(x.Init()); err != nil {
			t.Fatal(err)
		}
		awaitCommand(t, x.Init().PID, "sleep")

		paths := map[string]string{}
		for _, kind := range []string{"net", "pid", "ipc", "uts"} {
			f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", x.Init().PID, kind))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			paths[kind] = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())
		}
		joiner := b.config()
		joiner.NetNS, joiner.PIDNS, joiner.IPCNS, joiner.UTSNS = paths["net"], paths["pid"], paths["ipc"], paths["uts"]
		joiner.Shm = x.Init().PID
		joiner.Spec.Network.Mode = container.ModeContainer
		got := b.sh(joiner, `hostname; [ $$ != 1 ] && cat /proc/1/cmdline | tr '\0' ' '; ip link show lo | grep -o ',UP'; cat /dev/shm/file`)
		if want := "target\nsleep 1000 ,UP\nshared\n"; got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}

		// What a joiner leaves running in the other's PID namespace goes with the joiner.
		joiner = b.config("sh", "-c", "sleep 2000 & exec sleep 3000")
		joiner.PIDNS = paths["pid"]
		y := b.start(joiner)
		awaitCommand(t, y.Init().PID, "sleep")
		if err := Signal(joiner.StateDir, joiner.Spec.ID, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if code, err := y.Wait(); code != 137 || err != nil {
			t.Errorf("joiner: got exit code %d, %v", code, err)
		}
		if err := Destroy(joiner.StateDir, joiner.Spec.ID); err != nil {
			t.Error(err)
		}
		r, err := b.exec(target, ExecConfig{Args: []string{"ps"}})
		if err != nil || strings.Contains(r.stdout, "sleep 2000") {
			t.Errorf("left behind: %v\n%s", err, r.stdout)
		}

		// The end of the PID namespace ends whoever joined it; nobody can join afterwards.
		joiner = b.config("sleep", "1000")
		joiner.PIDNS = paths["pid"]
		y = b.start(joiner)
		if err := Signal(target.StateDir, target.Spec.ID, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if code, err := y.Wait(); code != 137 || err != nil {
			t.Errorf("end of the namespace: got exit code %d, %v", code, err)
		}
		if _, err := x.Wait(); err != nil {
			t.Error(err)
		}
		late := b.config("true")
		late.PIDNS = paths["pid"]
		if _, err := b.tryRun(late); err == nil || !strings.Contains(err.Error(), "PID namespace to join has ended") {
			t.Errorf("late joiner: got %v", err)
		}
	})
}

// awaitCommand waits until the process has become the command, by its pipe-less life: it is the program's own execve(2).
func awaitCommand(t *testing.T, pid int, name string) {
	t.Helper()
	for range 1000 {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(string(comm)) == name {
			return
		}
		unix.Nanosleep(&unix.Timespec{Nsec: 2e6}, nil)
	}
	t.Fatalf("process %d did not become %s", pid, name)
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		c := b.config("sh", "-c", "tty; stty size; echo $TERM; read x; echo got $x")
		x, err := b.create(c, Stdio{Console: true, Width: 100, Height: 40})
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Release(); err != nil {
			t.Fatal(err)
		}
		if _, err := x.Pty().WriteString("hello\n"); err != nil {
			t.Fatal(err)
		}
		got := readTerminal(t, x.Pty())
		if code, err := x.Wait(); code != 0 || err != nil {
			t.Errorf("exit code %d, %v", code, err)
		}
		// The terminal echoes what it gets, when it gets it.
		for _, want := range []string{"/dev/pts/0\r\n", "40 100\r\n", "xterm\r\n", "hello\r\n", "got hello\r\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in %q", want, got)
			}
		}
		if err := x.Destroy(); err != nil {
			t.Error(err)
		}

		c = b.config("sleep", "1000")
		b.start(c)
		p, err := Exec(c.StateDir, c.Spec.ID, ExecConfig{Args: []string{"sh", "-c", "tty; stty size"}}, Stdio{Console: true, Width: 90, Height: 30})
		if err != nil {
			t.Fatal(err)
		}
		if got := readTerminal(t, p.Pty); got != "/dev/pts/0\r\n30 90\r\n" {
			t.Errorf("exec: got %q", got)
		}
		if code, err := p.Wait(); code != 0 || err != nil {
			t.Errorf("exec: exit code %d, %v", code, err)
		}
	})
}

// readTerminal reads to the end, which is EIO.
func readTerminal(t *testing.T, pty *os.File) string {
	t.Helper()
	defer pty.Close()
	var buf bytes.Buffer
	if _, err := io.Copy(&buf, pty); !errors.Is(err, unix.EIO) {
		t.Errorf("end of the terminal: got %v", err)
	}
	return buf.String()
}

func TestReapingInit(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		b.copyLibraries()
		withInit := func(args ...string) Config {
			c := b.config(args...)
			c.Spec.Init = true
			return c
		}
		got := b.run(withInit("sh", "-c", "cat /proc/1/comm; [ $$ != 1 ] && cat /proc/1/cmdline | tr '\\0' ' '; exit 5"))
		if got.code != 5 || !strings.HasPrefix(got.stdout, "init\n/dev/init -- sh -c") {
			t.Errorf("got %+v", got)
		}
		if got := b.run(withInit("sh", "-c", "kill -USR1 $$")); got.code != 128+int(unix.SIGUSR1) {
			t.Errorf("program killed by a signal: got %+v", got)
		}
		if got := b.run(withInit("nosuch")); got.code != 127 || got.stderr != "exec: \"nosuch\": executable file not found in $PATH\n" {
			t.Errorf("got %+v", got)
		}
		if got := b.run(withInit("/etc/passwd")); got.code != 126 || got.stderr != "exec: \"/etc/passwd\": Permission denied\n" {
			t.Errorf("got %+v", got)
		}
		if got := b.sh(withInit(), "(sleep 0.05 & ) ; sleep 0.2; grep -l 'State:.Z' /proc/[0-9]*/status | wc -l"); got != "0\n" {
			t.Errorf("orphans that were not reaped: %s", got)
		}
		if got := b.sh(withInit(), "(: >>/proc/1/exe) 2>&1 | grep -oE 'Text file busy|Read-only file system'"); got == "" {
			t.Errorf("our binary can be written: %q", got)
		}

		c := withInit("sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done")
		out := b.pipe()
		x, err := b.create(c, Stdio{Stdout: out.w})
		if err != nil {
			t.Fatal(err)
		}
		out.w.Close()
		if err := x.Release(); err != nil {
			t.Fatal(err)
		}
		<-out.first
		if err := Signal(c.StateDir, c.Spec.ID, unix.SIGTERM); err != nil {
			t.Error(err)
		}
		if code, err := x.Wait(); code != 9 || err != nil {
			t.Errorf("forwarded signal: got exit code %d, %v", code, err)
		}
		if err := x.Destroy(); err != nil {
			t.Error(err)
		}
	})
}

// copyLibraries gives the box what a dynamically linked test binary needs to run in it.
func (b *box) copyLibraries() {
	b.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	list, _ := exec.Command("ldd", exe).Output() // fails for a static binary
	for field := range strings.FieldsSeq(string(list)) {
		if !strings.HasPrefix(field, "/") {
			continue
		}
		if err := os.MkdirAll(filepath.Join(b.root, filepath.Dir(field)), 0o755); err != nil {
			b.t.Fatal(err)
		}
		b.copy(field, field)
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		c := b.config("sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.05; done")
		x := b.start(c)
		for range 2 { // the second does nothing
			if err := Pause(c.StateDir, c.Spec.ID); err != nil {
				t.Fatal(err)
			}
		}
		if is, err := paused(c.StateDir, c.Spec.ID); !is || err != nil {
			t.Errorf("got %v, %v", is, err)
		}
		if _, err := b.exec(c, ExecConfig{Args: []string{"true"}}); !errors.Is(err, ErrPaused) {
			t.Errorf("exec: got %v", err)
		}
		if err := Resume(c.StateDir, c.Spec.ID); err != nil {
			t.Fatal(err)
		}
		if r, err := b.exec(c, ExecConfig{Args: []string{"true"}}); r.code != 0 || err != nil {
			t.Errorf("exec: got %+v, %v", r, err)
		}
		stats, err := ReadStats(c.StateDir, c.Spec.ID)
		if err != nil || stats.CpuStats.CpuUsage.TotalUsage == 0 || stats.PidsStats.Current == 0 {
			t.Errorf("got %+v, %v", stats, err)
		}
		if err := Pause(c.StateDir, c.Spec.ID); err != nil {
			t.Fatal(err)
		}
		if err := Signal(c.StateDir, c.Spec.ID, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if code, err := x.Wait(); code != 137 || err != nil {
			t.Errorf("killed while paused: got exit code %d, %v", code, err)
		}
	})
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		c := b.config("sleep", "1000")
		x := b.start(c)
		pids := int64(20) // libcontainer's init needs some for its threads
		if _, err := Update(c.StateDir, c.Spec.ID, container.Resources{PidsLimit: &pids, Memory: 32 << 20}); err != nil {
			t.Fatal(err)
		}
		stats, err := ReadStats(c.StateDir, c.Spec.ID)
		if err != nil || stats.PidsStats.Limit != 20 || stats.MemoryStats.Usage.Limit != 32<<20 {
			t.Errorf("got %+v %+v, %v", stats.PidsStats, stats.MemoryStats.Usage, err)
		}
		if r, err := b.exec(c, ExecConfig{Args: []string{"sh", "-c", "mknod /dev/k c 1 2; head -c1 /dev/k"}}); err != nil || !strings.Contains(r.stderr, "not permitted") {
			t.Errorf("the device rules are gone: %+v, %v", r, err)
		}
		r, err := b.exec(c, ExecConfig{Args: []string{"sh", "-c", "for i in $(seq 30); do sleep 1 & done; wait"}})
		if err != nil || !strings.Contains(r.stderr, "can't fork") {
			t.Errorf("the new limit does not bite: %+v, %v", r, err)
		}
		if err := Signal(c.StateDir, c.Spec.ID, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if _, err := x.Wait(); err != nil {
			t.Fatal(err)
		}
		if _, err := Update(c.StateDir, c.Spec.ID, container.Resources{Memory: 64 << 20}); !errors.Is(err, container.ErrNotRunning) {
			t.Errorf("update after the end: got %v", err)
		}
	})
}

// paused tells whether the container is paused.
func paused(stateDir, id string) (bool, error) {
	r, err := readRecord(stateDir, id)
	if err != nil {
		return false, err
	}
	m, err := r.cgroup()
	if err != nil {
		return false, err
	}
	state, err := m.GetFreezerState()
	if err != nil {
		return false, fmt.Errorf("read freezer: %w", err)
	}
	return state == cgroups.Frozen, nil
}
