package main_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ctr/internal/testhost"
)

// envFaults asks for the long versions of the fault tests: every point instead of a few.
const envFaults = "CTR_FAULTS"

// allFaults tells whether the long versions are to run.
func allFaults() bool { return os.Getenv(envFaults) != "" }

// victims is a host in which commands are killed, starved and lied to, and what must be true there afterwards.
type victims struct {
	*testing.T
	h      *testhost.Host
	before testhost.Census
	at     string // the fault that is tried
}

// faults runs f in a host that has the busybox image and the network "net", of which the census is taken.
func faults(t *testing.T, f func(v *victims)) {
	t.Helper()
	if !testhost.Inside() && os.Geteuid() == 0 && !testing.Short() {
		prepare(t)
	}
	t.Parallel()
	inHost(t, f)
}

// inHost runs f in such a host. The caller has had prepared what it takes.
func inHost(t *testing.T, f func(v *victims)) {
	t.Helper()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		v := &victims{T: t, h: h}
		if err := useImages(h, "small"); err != nil {
			t.Fatal(err)
		}
		v.must("network", "create", "net")
		v.run1(0)
		v.must("rm", "-f", "c0")
		v.note()
		f(v)
		v.must("system", "reset", "--force")
	})
}

// note takes the census that healed compares with, as soon as the kernel has taken down the links of dead namespaces, and monitors
// that have done their work have ended.
func (v *victims) note() {
	v.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		before, err := v.h.Census()
		if err != nil {
			v.Fatal(err)
		}
		if !slices.ContainsFunc(before["link"], func(l string) bool { return strings.HasPrefix(l, "veth ") }) &&
			!slices.Contains(before["process"], "ctr-monitor") {
			v.before = before
			return
		}
		if time.Now().After(deadline) {
			v.Fatalf("links or monitors stay: %s, %s", before["link"], before["process"])
		}
	}
}

// output is what a command said and how it ended.
type output struct {
	code           int // -1: a signal ended it
	stdout, stderr string
	took           time.Duration
}

// command is ctr with the host's roots.
func (v *victims) command(args ...string) *exec.Cmd {
	return v.wrapped(nil, args...)
}

// wrapped is ctr run by another command.
func (v *victims) wrapped(by []string, args ...string) *exec.Cmd {
	argv := append(append(by, os.Getenv("CTR_BIN")), args...)
	return exec.Command(argv[0], argv[1:]...)
}

// end runs a command to its end. Its output goes to files: what it leaves behind may hold them open.
func (v *victims) end(cmd *exec.Cmd) output {
	v.Helper()
	dir, err := os.MkdirTemp(v.h.Dir, "output-")
	if err != nil {
		v.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var streams [2]*os.File
	for i, name := range []string{"stdout", "stderr"} {
		if streams[i], err = os.Create(filepath.Join(dir, name)); err != nil {
			v.Fatal(err)
		}
		defer streams[i].Close()
	}
	if cmd.Stdout == nil {
		cmd.Stdout = streams[0]
	}
	if cmd.Stderr == nil {
		cmd.Stderr = streams[1]
	}
	begin := time.Now()
	err = cmd.Run()
	o := output{took: time.Since(begin)}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		o.code = exit.ExitCode()
	} else if err != nil {
		v.Fatalf("%s: %v", cmd, err)
	}
	for i, to := range []*string{&o.stdout, &o.stderr} {
		b, err := os.ReadFile(streams[i].Name())
		if err != nil {
			v.Fatal(err)
		}
		*to = string(bytes.TrimSpace(b))
	}
	return o
}

// try runs ctr.
func (v *victims) try(args ...string) output {
	v.Helper()
	return v.end(v.command(args...))
}

// must runs ctr, which must succeed, and returns its output.
func (v *victims) must(args ...string) string {
	v.Helper()
	o := v.try(args...)
	if o.code != 0 {
		v.Fatalf("ctr %s %s: exit code %d\n%s\n%s", strings.Join(args, " "), v.at, o.code, o.stdout, o.stderr)
	}
	return o.stdout
}

// runArgs is what most of these tests disturb: a container on a network of its user's, with a published port.
func runArgs(name string) []string {
	return []string{"run", "-d", "--name", name, "-p", "8080:80", "--network", "net", "busybox", "sleep", "1000"}
}

// run1 starts such a container, named c0, c1 and so on.
func (v *victims) run1(n int) string {
	v.Helper()
	return v.must(runArgs("c" + string(rune('0'+n)))...)
}

// heal does what a user does after something went wrong, and then everything must be as it was: ps works, the container can be
// removed, and another one gets its name, its port and an address.
func (v *victims) heal(name string) {
	v.Helper()
	v.must("ps", "-a")
	v.must("rm", "-f", name)
	v.must(runArgs(name)...)
	v.must("rm", "-f", name)
	v.healed()
}

// healed compares the host with the census.
func (v *victims) healed() {
	v.Helper()
	if diff := settled(v.h, v.before); diff != "" {
		v.Fatalf("left behind %s:\n%s", v.at, diff)
	}
}
