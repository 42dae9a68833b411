package main_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// killedAt are the system calls at which the tests kill ctr: those that change what outlives the process, and those that tell
// others of it.
var killedAt = []string{
	"mkdirat", "openat", "write", "fsync", "renameat", "symlinkat", "linkat", "unlinkat", "mknodat", "chmod,fchmodat", "flock",
	"mount", "fsopen", "fsmount", "move_mount", "umount2", "unshare", "setns", "clone", "clone3", "execve", "exit_group",
	"socket", "bind", "sendto", "sendmsg", "ioctl", "pidfd_open",
}

// often are those of them that the short version tries, and how many of their points it leaves out.
var often = map[string]int{"renameat": 1, "symlinkat": 1, "mkdirat": 6, "write": 7, "clone": 1, "sendto": 2, "mount": 9, "flock": 1}

// Wherever run is killed, and with it the processes that it has made, the next commands find their way.
func TestB1KilledRun(t *testing.T) {
	t.Parallel()
	for _, call := range killedAt {
		if _, short := often[call]; !short && !allFaults() {
			continue
		}
		t.Run(call, func(t *testing.T) {
			faults(t, func(v *victims) {
				v.eachPoint(call, func(inject []string) bool {
					o := v.end(v.wrapped(inject, runArgs("c1")...))
					v.heal("c1")
					return o.code == 0
				})
			})
		})
	}
}

// eachPoint calls try with a command before which kills ctr and its children at their first call, at their second, and so on
// until it gets through unharmed.
func (v *victims) eachPoint(call string, try func(inject []string) (unharmed bool)) {
	v.Helper()
	step := 1
	if !allFaults() {
		step += often[call]
	}
	unharmed := 0
	for n := 1; unharmed < 2; n += step {
		if n > 300 {
			v.Fatalf("never got through")
		}
		v.at = fmt.Sprintf("by a kill at %s, the %d. time", call, n)
		if try(tracer(call, "signal=KILL", n)) {
			unharmed++
		} else {
			unharmed = 0
		}
		if v.Failed() {
			v.Fatalf("at %s %d", call, n)
		}
	}
}

// tracer is strace, made to do something to each thread's n-th call. -D: the command stays our child.
func tracer(call, what string, n int) []string {
	return []string{
		"strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call,
		"-e", fmt.Sprintf("inject=%s:%s:when=%d", call, what, n),
	}
}

// Wherever a command that ends or uses a container is killed, the next commands find their way.
func TestB2KilledCommand(t *testing.T) {
	t.Parallel()
	commands := [][]string{{"rm", "-f", "c1"}, {"network", "rm", "other"}, {"rename", "c1", "c2"}}
	if allFaults() {
		commands = append(commands, []string{"stop", "-t", "0", "c1"}, []string{"exec", "c1", "true"}, []string{"exec", "-d", "c1", "sleep", "1000"},
			[]string{"network", "create", "more"}, []string{"restart", "-t", "0", "c1"})
	}
	for _, command := range commands {
		t.Run(strings.ReplaceAll(strings.Join(command, " "), " ", "_"), func(t *testing.T) {
			faults(t, func(v *victims) { v.killedCommand(command) })
		})
	}
}

func (v *victims) killedCommand(command []string) {
	v.Helper()
	calls := killedAt
	if !allFaults() {
		calls = []string{"renameat", "symlinkat", "sendto"}
	}
	for _, call := range calls {
		v.eachPoint(call, func(inject []string) bool {
			v.must(runArgs("c1")...)
			v.must("network", "create", "other")
			o := v.end(v.wrapped(inject, command...))
			for _, name := range []string{"other", "more"} {
				if out := v.try("network", "rm", name); out.code != 0 && !strings.Contains(out.stderr, "not found") {
					v.Fatalf("network rm: %s", out.stderr)
				}
			}
			v.must("rm", "-f", "c2")
			v.heal("c1")
			return o.code == 0
		})
	}
}

func pids() []int {
	entries, _ := os.ReadDir("/proc")
	var all []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// await waits for something to become true.
func (v *victims) await(what string, f func() bool) {
	v.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			v.Fatalf("waited for %s in vain", what)
		}
	}
}
