package engine

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/internal/durable"
	"ctr/internal/proc"
	"ctr/internal/testhost"
)

// makerEnv tells the test binary to make the container of this config and to wait to be killed.
const makerEnv = "CTR_ENGINE_TEST_MAKER"

func TestMain(m *testing.M) {
	text, ok := os.LookupEnv(makerEnv)
	if !ok {
		os.Exit(m.Run())
	}
	var c Config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	x, err := (&box{}).create(c, Stdio{})
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString(x.Init().String() + "\n")
	select {}
}

// The maker of a container that is killed leaves an init that waits, and ten cgroups. Whoever comes next removes them.
func TestDestroyWhatAKilledMakerLeft(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		for name, damage := range map[string]func(c Config){
			"intact":    func(Config) {},
			"truncated": func(c Config) { truncate(t, filepath.Join(c.StateDir, c.Spec.ID, recordFile)) },
			"no state":  func(c Config) { removeAll(t, filepath.Join(c.StateDir, c.Spec.ID, libcontainers+c.Spec.ID)) },
		} {
			c := b.config("sleep", "1000")
			init := makeAndKill(t, c)
			damage(c)
			if err := Destroy(c.StateDir, c.Spec.ID); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if init.Alive() {
				t.Errorf("%s: the init still waits", name)
			}
			b.nothingLeft()
		}
	})
}

// makeAndKill makes a container in another process, which is killed then. It returns the init.
func makeAndKill(t *testing.T, c Config) proc.ID {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), makerEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	init, err := proc.Parse(line[:len(line)-1])
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() // it was killed
	if !init.Alive() {
		t.Fatal("the init ended by itself: there is nothing to test")
	}
	return init
}

func truncate(t *testing.T, path string) {
	t.Helper()
	if err := os.Truncate(path, 7); err != nil {
		t.Fatal(err)
	}
}

func removeAll(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// A record that names no cgroup of a container must not be taken for one that names the root, and everything in it.
func TestDamagedRecordKillsNobody(t *testing.T) {
	for _, path := range []string{"", "/", ".", "/ctr/../x", "/ctr/x/"} {
		if err := DestroyCgroup(path); !errors.Is(err, durable.ErrDamaged) {
			t.Errorf("DestroyCgroup(%q) = %v", path, err)
		}
	}
	for _, text := range []string{`{"version":1}`, `{"version":1,"cgroup":"/"}`, `{"version":1,"cgroup":"/ctr/other"}`, `{"version":99,"cgroup":"/ctr/id"}`} {
		dir := t.TempDir()
		path := filepath.Join(dir, "id", recordFile)
		if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		if err := Destroy(dir, "id"); !errors.Is(err, durable.ErrDamaged) {
			t.Errorf("Destroy with the record %s = %v", text, err)
		}
	}
}
