package main_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/internal/proc"
)

// A container outlives its monitor, and every command goes on to work with it: the first that meets it starts a successor.
func TestB3KilledMonitor(t *testing.T) {
	t.Parallel()
	for name, small := range map[string]bool{"young": false, "small": true} {
		t.Run(name, func(t *testing.T) {
			faults(t, func(v *victims) {
				for _, end := range [][]string{{"stop", "-t", "1"}, {"rm", "-f"}, {"kill"}} {
					v.killedMonitor(small, end)
				}
			})
		})
	}
}

// killedMonitor kills the monitor of a running container, before or after it has made itself small, and ends the container.
func (v *victims) killedMonitor(small bool, end []string) {
	v.Helper()
	v.must("run", "-d", "--name", "c1", "-p", "8080:80", "--network", "net", "busybox", "sh", "-c", "trap 'exit 3' TERM; while :; do echo x; sleep 0.01; done")
	peer := v.must("run", "-d", "--name", "peer", "--network", "net", "busybox", "sleep", "1000")
	v.kill("c1", small)
	if o := v.try("ps", "--filter", "name=c1", "--format", "{{.State}}"); o.stdout != "running" || !strings.HasSuffix(o.stderr, "another one has taken its place") {
		v.Errorf("ps: %+v", o)
	}
	if o := v.try("exec", "c1", "sh", "-c", "exit 7"); o.code != 7 {
		v.Errorf("exec: exit code %d: %s", o.code, o.stderr)
	}
	if l, err := net.Listen("tcp", "127.0.0.1:8080"); err == nil {
		l.Close()
		v.Errorf("nobody holds the published port")
	}
	if o := v.try("exec", "peer", "nslookup", "c1"); o.code != 0 {
		v.Errorf("a running container is not found by its name: %s %s", o.stdout, o.stderr)
	}
	v.must(append(end, "c1")...)
	if o := v.try("exec", "peer", "nslookup", "c1"); o.code == 0 {
		v.Errorf("an ended container is still found by its name: %s", o.stdout)
	}
	if got := v.must("ps", "--filter", "name=c1", "--format", "{{.State}}"); got != "" {
		v.Errorf("ps after %s: %q", end, got)
	}
	if want, ok := map[string]string{"stop": "exited 3", "kill": "exited 137"}[end[0]]; ok {
		v.await("the exit code "+want, func() bool { return v.ended("c1", want) })
	}
	v.must("rm", "-f", "c1")
	v.must("rm", "-f", peer)
	v.heal("c1")
}

// Whoever is killed next, at whatever it was doing, has a successor in the end: the monitors of one container are killed one
// after the other, at any moment of their succession.
func TestB3KilledSuccessor(t *testing.T) {
	faults(t, func(v *victims) {
		v.run1(1)
		steps := 12
		if allFaults() {
			steps = 200
		}
		for i := range steps {
			v.kill("c1", false)
			o := v.end(v.wrapped([]string{"timeout", "-s", "KILL", fmt.Sprintf("0.%03d", 5+i*60/steps)}, "ps", "-q"))
			if _, err := monitorOf(v.must("inspect", "--format", "{{.Id}}", "c1")); err != nil {
				v.Fatalf("after ps was killed in %v: %v", o.took, err)
			}
		}
		if got := v.must("exec", "c1", "cat", "/etc/hostname"); len(got) != 12 {
			v.Errorf("exec: %q", got)
		}
		v.must("exec", "c1", "nslookup", "c1")
		v.must("stop", "-t", "0", "c1")
		if !v.ended("c1", "exited 137") {
			v.Errorf("state %q", v.must("inspect", "--format", "{{json .State}}", "c1"))
		}
		v.heal("c1")
	})
}

// ended tells whether a container that a successor kept has ended as it should, as far as its kernel tells who is no parent.
func (v *victims) ended(name, want string) bool {
	v.Helper()
	got := v.must("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}{{with .State.Error}} {{.}}{{end}}", name)
	if tells, err := haveLinux("6.15"); err != nil || tells {
		return err == nil && got == want
	}
	return got == want || got == "exited 255 exit code unknown: its monitor was killed, and Linux before 6.15 does not tell it"
}

// monitorOf returns the process that keeps the container.
func monitorOf(id string) (proc.ID, error) {
	for _, pid := range pids() {
		line, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		if args := strings.Split(string(line), "\x00"); len(args) > 3 && strings.HasSuffix(args[0], "monitor") && args[3] == id {
			return proc.Of(pid)
		}
	}
	return proc.ID{}, fmt.Errorf("no monitor of %.12s", id)
}

// monitorOf returns the process that keeps a container.
func (v *victims) monitorOf(name string) proc.ID {
	v.Helper()
	id, err := monitorOf(v.must("inspect", "--format", "{{.Id}}", name))
	if err != nil {
		v.Fatal(err)
	}
	return id
}

// killMonitor kills a monitor and returns when it is gone. With small it waits first until the monitor has become the small
// keeper, which is the same process.
func killMonitor(id proc.ID, small bool) error {
	own, err := os.Stat(os.Getenv("CTR_BIN"))
	if err != nil {
		return err
	}
	large := func() bool {
		exe, err := os.Stat("/proc/" + strconv.Itoa(id.PID) + "/exe")
		return err == nil && os.SameFile(exe, own)
	}
	for deadline := time.Now().Add(patience); small && large() || id.Alive(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("monitor %d neither became small nor ended", id.PID)
		}
		if !small || !large() {
			small = false
			if err := id.Signal(unix.SIGKILL); err != nil && !errors.Is(err, proc.ErrGone) {
				return err
			}
		}
	}
	return nil
}

// kill kills the monitor of a container.
func (v *victims) kill(name string, small bool) {
	v.Helper()
	if err := killMonitor(v.monitorOf(name), small); err != nil {
		v.Fatal(err)
	}
}

// A container with a terminal loses that with its monitor, which the kernel tells it by SIGHUP.
func TestB3KilledMonitorOfTerminal(t *testing.T) {
	faults(t, func(v *victims) {
		v.must("run", "-dt", "--name", "c1", "-p", "8080:80", "--network", "net", "busybox", "sh")
		v.kill("c1", false)
		v.await("ps to show the end", func() bool { return v.must("ps", "-q") == "" })
		if got := v.must("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "c1"); !strings.HasPrefix(got, "exited ") {
			v.Errorf("state %q", got)
		}
		v.must("start", "c1")
		v.heal("c1")
	})
}

// A --rm container whose monitor was killed goes with the next command that meets it, once it has ended.
func TestB3KilledMonitorOfRm(t *testing.T) {
	faults(t, func(v *victims) {
		v.must("run", "-d", "--rm", "--name", "c1", "-p", "8080:80", "--network", "net", "busybox", "sleep", "1000")
		v.kill("c1", false)
		v.must("stop", "-t", "0", "c1")
		v.must(runArgs("c1")...)
		v.must("rm", "-f", "c1")
		v.healed()
	})
}

// Its restart policy is the successor's.
func TestB3KilledMonitorOfPolicy(t *testing.T) {
	faults(t, func(v *victims) {
		v.must("run", "-d", "--restart", "always", "--name", "c1", "--network", "net", "busybox", "sh", "-c", "trap 'exit 1' TERM; while :; do sleep 0.1; done")
		v.kill("c1", false)
		v.must("exec", "c1", "kill", "1")
		v.await("the policy to restart it", func() bool { return v.must("inspect", "--format", "{{.RestartCount}}", "c1") != "0" })
		v.kill("c1", false)
		v.must("restart", "-t", "0", "c1")
		if got := v.must("ps", "--format", "{{.Names}} {{.State}}"); got != "c1 running" {
			v.Errorf("ps: %q", got)
		}
		v.monitorOf("c1")
		v.heal("c1")
	})
}

// A monitor that is stopped keeps the lock. Commands that need it say so in the end, others go on.
func TestB8StoppedMonitor(t *testing.T) {
	faults(t, func(v *victims) {
		v.run1(1)
		monitor := v.monitorOf("c1")
		if err := monitor.Signal(syscall.SIGSTOP); err != nil {
			v.Fatal(err)
		}
		v.must("ps", "-a")
		if o := v.try("exec", "c1", "true"); o.code != 0 || o.took > 15*time.Second {
			v.Errorf("exec: %+v", o)
		}
		v.must("run", "--rm", "--network", "net", "busybox", "true")
		rm := make(chan output)
		go func() { rm <- v.try("rm", "-f", "c1") }()
		select {
		case o := <-rm:
			if o.code == 0 || !strings.Contains(o.stderr, "c1") {
				v.Errorf("rm: %+v", o)
			}
		case <-time.After(10 * time.Second):
			if err := monitor.Signal(syscall.SIGCONT); err != nil {
				v.Fatal(err)
			}
			if o := <-rm; o.code != 0 {
				v.Errorf("rm after the monitor goes on: %+v", o)
			}
		}
		v.heal("c1")
	})
}
