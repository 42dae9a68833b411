package main_test

import (
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ctr/internal/proc"
)

// T-B3: a container outlives its monitor, and every command goes on to work with it.
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
	v.kill(v.monitorOf("c1"), small)
	begin := time.Now()
	if got := v.must("ps", "--filter", "name=c1", "--format", "{{.State}}"); got != "running" || time.Since(begin) > time.Second {
		v.Errorf("ps after %v: %q", time.Since(begin), got)
	}
	if o := v.try("exec", "c1", "sh", "-c", "exit 7"); o.code != 7 {
		v.Errorf("exec: exit code %d: %s", o.code, o.stderr)
	}
	if _, err := net.DialTimeout("tcp", "127.0.0.1:8080", time.Second); err == nil {
		v.Errorf("the published port still answers through a dead proxy")
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
	v.must("rm", "-f", "c1")
	v.must("rm", "-f", peer)
	v.heal("c1")
}

// kill kills a container's monitor and waits until it is gone. With small it waits first until the monitor has become the small
// keeper, which is the same process.
func (v *victims) kill(monitor int, small bool) {
	v.Helper()
	id, err := proc.Of(monitor)
	if err != nil {
		v.Fatal(err)
	}
	own, err := os.Stat(os.Getenv("CTR_BIN"))
	if err != nil {
		v.Fatal(err)
	}
	if small {
		v.await("the monitor to become small", func() bool {
			exe, err := os.Stat("/proc/" + strconv.Itoa(monitor) + "/exe")
			return err == nil && !os.SameFile(exe, own)
		})
	}
	if err := syscall.Kill(monitor, syscall.SIGKILL); err != nil {
		v.Fatal(err)
	}
	v.await("the monitor to end", func() bool { return !id.Alive() })
}

// T-B3: a container with a terminal loses that with its monitor, which the kernel tells it by SIGHUP.
func TestB3KilledMonitorOfTerminal(t *testing.T) {
	faults(t, func(v *victims) {
		v.must("run", "-dt", "--name", "c1", "-p", "8080:80", "--network", "net", "busybox", "sh")
		v.kill(v.monitorOf("c1"), false)
		v.await("ps to show the end", func() bool { return v.must("ps", "-q") == "" })
		if got := v.must("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "c1"); got != "exited 255" {
			v.Errorf("state %q", got)
		}
		v.must("start", "c1")
		v.heal("c1")
	})
}

// T-B3: a --rm container whose monitor was killed goes with the next command that meets it, once it has ended.
func TestB3KilledMonitorOfRm(t *testing.T) {
	faults(t, func(v *victims) {
		v.must("run", "-d", "--rm", "--name", "c1", "-p", "8080:80", "--network", "net", "busybox", "sleep", "1000")
		v.kill(v.monitorOf("c1"), false)
		v.must("stop", "-t", "0", "c1")
		v.must(runArgs("c1")...)
		v.must("rm", "-f", "c1")
		v.healed()
	})
}

// T-B3: with a restart policy nobody restarts it, but start does.
func TestB3KilledMonitorOfPolicy(t *testing.T) {
	faults(t, func(v *victims) {
		v.must("run", "-d", "--restart", "always", "--name", "c1", "--network", "net", "busybox", "sleep", "1000")
		v.kill(v.monitorOf("c1"), false)
		v.must("restart", "-t", "0", "c1")
		if got := v.must("ps", "--format", "{{.Names}} {{.State}}"); got != "c1 running" {
			v.Errorf("ps: %q", got)
		}
		v.monitorOf("c1")
		v.heal("c1")
	})
}

// T-B8: a monitor that is stopped keeps the lock. Commands that need it say so in the end, others go on.
func TestB8StoppedMonitor(t *testing.T) {
	faults(t, func(v *victims) {
		v.run1(1)
		monitor := v.monitorOf("c1")
		if err := syscall.Kill(monitor, syscall.SIGSTOP); err != nil {
			v.Fatal(err)
		}
		v.must("ps", "-a")
		if o := v.try("exec", "c1", "true"); o.code != 0 || o.took > 5*time.Second {
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
			if err := syscall.Kill(monitor, syscall.SIGCONT); err != nil {
				v.Fatal(err)
			}
			if o := <-rm; o.code != 0 {
				v.Errorf("rm after the monitor goes on: %+v", o)
			}
		}
		v.heal("c1")
	})
}
