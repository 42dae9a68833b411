package testhost

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The environment variables by which the test binary finds itself in a host. The first makes the process PID 1 of the host,
// the second tells the test which host it is in; both hold a Host as JSON.
const (
	envInit = "CTR_TESTHOST_INIT"
	envHost = "CTR_TESTHOST"
)

// Host is the host that a test runs in.
type Host struct {
	Dir     string // scratch space on a file system that can hold overlay upper folders; removed after the test
	Root    string // the data root of this host's installation, in Dir; made by whoever needs it
	RunRoot string // its run root, below /run
}

// Run runs f in a host of its own, and fails t if f fails there or leaves a cgroup behind. It needs root, and skips the test
// without it and with -short. Tests that call t.Parallel before it run side by side.
//
// Everything that the test function does outside of f is done twice: here, and in the host.
func Run(t *testing.T, f func(t *testing.T, h *Host)) {
	t.Helper()
	if record, inside := os.LookupEnv(envHost); inside {
		var h Host
		if err := json.Unmarshal([]byte(record), &h); err != nil {
			t.Fatalf("read %s: %v", envHost, err)
		}
		f(t, &h)
		return
	}
	if os.Geteuid() != 0 || testing.Short() {
		t.Skip("makes a host: needs root, and no -short")
	}
	h := makeHost(t)
	if err := h.run(t); err != nil {
		t.Errorf("in its host: %v", err)
	}
	left, err := h.removeCgroups()
	if err != nil {
		t.Errorf("remove cgroups: %v", err)
	}
	if len(left) > 0 {
		t.Errorf("cgroups left behind: %s", strings.Join(left, " "))
	}
}

// makeHost makes the folder of a host and has it removed after the test.
func makeHost(t *testing.T) *Host {
	t.Helper()
	parent := os.Getenv("CTR_TEST_DIR")
	if parent == "" {
		parent = "/var/tmp"
	}
	dir, err := os.MkdirTemp(parent, "ctr-test-")
	if err != nil {
		t.Fatalf("make host: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove host: %v", err)
		}
	})
	return &Host{Dir: dir, Root: filepath.Join(dir, "data"), RunRoot: "/run/ctr"}
}

// run executes the test in the host and waits for it.
func (h *Host) run(t *testing.T) error {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	record, err := json.Marshal(h)
	if err != nil {
		return err
	}
	// The read end is the host's: it ends when we close the write end, or die.
	alive, ours, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ours.Close()
	args := hostArgs(os.Args[1:], t.Name())
	if deadline, ok := t.Deadline(); ok {
		// It ends before we do, so that we can show what it was at.
		args = append(args, "-test.timeout="+(time.Until(deadline)*9/10).String())
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), envInit+"="+string(record))
	cmd.ExtraFiles = []*os.File{alive}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS,
	}
	output, err := combinedOutput(cmd, alive)
	if err != nil || testing.Verbose() {
		t.Logf("%s", output)
	}
	if err == nil && !strings.Contains(output, "PASS") {
		err = fmt.Errorf("no test ran: %s", output)
	}
	return err
}

// combinedOutput runs the command and returns what it wrote. It does not wait for processes that the command left behind and
// that hold its output open: those end with the host.
func combinedOutput(cmd *exec.Cmd, alive *os.File) (string, error) {
	out, err := os.CreateTemp("", "ctr-test-output-")
	if err != nil {
		return "", err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Start()
	alive.Close()
	if err == nil {
		err = cmd.Wait()
	}
	output, readErr := os.ReadFile(out.Name())
	if err == nil {
		err = readErr
	}
	return string(output), err
}

// hostArgs returns the arguments for the test binary in the host: those that we were given, but for which tests to run, how
// often, and the files that are written once for the whole run.
func hostArgs(args []string, test string) []string {
	dropped := []string{
		"run", "skip", "count", "v", "coverprofile", "testlogfile", "outputdir", "cpuprofile", "memprofile", "blockprofile",
		"mutexprofile", "timeout", "trace", "bench", "benchtime", "fuzz", "fuzzcachedir", "fuzztime", "list", "shuffle", "gocoverdir",
	}
	var kept []string
	for i := 0; i < len(args); i++ {
		name, value, isFlag := strings.Cut(args[i], "=")
		name = strings.TrimPrefix(strings.TrimPrefix(strings.TrimLeft(name, "-"), "test."), "-")
		if !strings.HasPrefix(args[i], "-") || !slices.Contains(dropped, name) {
			kept = append(kept, args[i])
			continue
		}
		if !isFlag && value == "" && name != "v" {
			i++ // "-run X" in two arguments
		}
	}
	elements := strings.Split(test, "/")
	for i, e := range elements {
		elements[i] = "^" + quotePattern(e) + "$"
	}
	return append(kept, "-test.v", "-test.run="+strings.Join(elements, "/"))
}

// quotePattern makes a pattern of -test.run that matches the name only. Go test rewrites what it cannot print, so only the
// characters that regexp knows need a backslash.
func quotePattern(name string) string {
	var b strings.Builder
	for _, r := range name {
		if strings.ContainsRune(`\.+*?()|[]{}^$`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Inside tells whether the process runs a test in a host.
func Inside() bool {
	_, inside := os.LookupEnv(envHost)
	return inside
}
