package engine

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
	"ctr/runtime/container"
)

func TestRunToTheEnd(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		defer b.nothingLeft()
		c := b.config("sh", "-c", "echo out; echo err >&2; exit 7")
		if got := b.run(c); got.code != 7 || got.stdout != "out\n" || got.stderr != "err\n" {
			t.Errorf("got %+v", got)
		}
		if err := Destroy(c.StateDir, c.Spec.ID); err != nil {
			t.Errorf("destroy what is gone: %v", err)
		}
	})
}

func TestExecSignalDestroy(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		c := b.config("sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.1; done")
		x, err := b.create(c, Stdio{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.exec(c, ExecConfig{Args: []string{"true"}}); !errors.Is(err, container.ErrNotRunning) {
			t.Errorf("exec before the release: got %v", err)
		}
		if err := x.Release(); err != nil {
			t.Fatal(err)
		}
		got, err := b.exec(c, ExecConfig{Args: []string{"sh", "-c", "hostname; echo $PPID; exit 3"}})
		if err != nil || got.code != 3 || got.stdout != c.Hostname+"\n0\n" {
			t.Errorf("exec: got %+v, %v", got, err)
		}
		if err := Signal(c.StateDir, c.Spec.ID, unix.SIGTERM); err != nil {
			t.Error(err)
		}
		if code, err := x.Wait(); code != 9 || err != nil {
			t.Errorf("got exit code %d, %v", code, err)
		}
		if err := Signal(c.StateDir, c.Spec.ID, unix.SIGTERM); !errors.Is(err, container.ErrNotRunning) {
			t.Errorf("signal after the end: got %v", err)
		}
		if err := x.Destroy(); err != nil {
			t.Error(err)
		}
		if _, err := b.exec(c, ExecConfig{Args: []string{"true"}}); !errors.Is(err, container.ErrNotRunning) {
			t.Errorf("exec after the end: got %v", err)
		}
		b.nothingLeft()
	})
}

func TestProgramThatCannotRun(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		for _, test := range []struct {
			path, workDir string
			code          int
			message       string
		}{
			{"nosuch", "", 127, `exec: "nosuch": executable file not found in $PATH`},
			{"/nosuch", "", 127, `exec: "/nosuch": stat /nosuch: no such file or directory`},
			{"/etc/passwd", "", 126, `exec: "/etc/passwd": permission denied`},
			{"/tmp", "", 126, `exec: "/tmp": is a directory`},
			{"true", "/etc/passwd", 127, `make working directory: mkdir /etc/passwd: not a directory`},
		} {
			c := b.config(test.path)
			c.WorkDir = test.workDir
			_, err := b.tryRun(c)
			var start *StartError
			if !errors.As(err, &start) || start.Code != test.code || err.Error() != test.message {
				t.Errorf("%+v: got %#v %v", test, start, err)
			}
			b.nothingLeft()
		}
		for _, test := range []struct {
			path, workDir string
			code          int
			message       string
		}{
			{"nosuch", "", 127, `exec: "nosuch": executable file not found in $PATH`},
			{"/etc/passwd", "", 126, `exec: "/etc/passwd": permission denied`},
			{"true", "/nosuch", 127, `chdir to working directory "/nosuch": no such file or directory`},
		} {
			c := b.config("sleep", "1000")
			b.start(c)
			_, err := b.exec(c, ExecConfig{Args: []string{test.path}, WorkDir: test.workDir})
			var start *StartError
			if !errors.As(err, &start) || start.Code != test.code || err.Error() != test.message {
				t.Errorf("exec %+v: got %#v %v", test, start, err)
			}
		}
	})
}

func TestDestroyEndsAnUnreleasedInit(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		c := b.config("true")
		x, err := b.create(c, Stdio{})
		if err != nil {
			t.Fatal(err)
		}
		if !x.Init().Alive() {
			t.Fatal("the init does not wait")
		}
		if err := x.Destroy(); err != nil {
			t.Error(err)
		}
		if x.Init().Alive() {
			t.Error("the init still waits")
		}
		b.nothingLeft()
	})
}

func TestEnvironmentAndWorkDir(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		c := b.config()
		c.Env, c.WorkDir = []string{"A=1", "B=x y", "A=2"}, "/made/for/it"
		got := b.sh(c, "pwd; env | sort")
		want := strings.Join([]string{
			"/made/for/it", "A=2", "B=x y", "HOME=/root", "HOSTNAME=" + c.Hostname,
			strings.TrimSpace(defaultPath), "PWD=/made/for/it", "SHLVL=1",
		}, "\n") + "\n"
		if got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
	})
}
