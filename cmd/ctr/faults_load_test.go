package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
)

// Programs that run in one container at once, many of them, each end with their own code; those that meet the container's
// end end as well.
func TestC7ExecStorm(t *testing.T) {
	faults(t, func(v *victims) {
		v.must("run", "-d", "--name", "c1", "--network", "net", "busybox", "sleep", "1000")
		count, ending := 60, 20
		if allFaults() {
			count, ending = 2000, 200
		}
		v.beside(10, count, func(i int) {
			if o := v.try("exec", "c1", "sh", "-c", fmt.Sprintf("echo %d; exit %d", i, i%100)); o.code != i%100 || o.stdout != fmt.Sprint(i) {
				v.Errorf("exec %d: %+v", i, o)
			}
		})
		var stopped sync.WaitGroup
		stopped.Go(func() {
			if o := v.try("stop", "-t", "0", "c1"); o.code != 0 {
				v.Errorf("stop: %+v", o)
			}
		})
		v.beside(10, ending, func(i int) {
			if o := v.try("exec", "c1", "sleep", "100"); o.code == 0 || o.took > patience {
				v.Errorf("exec %d into a container that ends: %+v", i, o)
			}
		})
		stopped.Wait()
		v.heal("c1")
	})
}

// A program whose first thread has ended goes on, and its container with it, until its last one has.
func TestC8FirstThreadEnds(t *testing.T) {
	faults(t, func(v *victims) {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		for end, want := range map[string]string{"stop -s KILL": "137", "kill": "137", "input": fmt.Sprint(testhost.LeaderlessCode)} {
			v.at = end
			v.must("run", "-d", "-i", "--name", "c1", "--network", "net", "-v", "/:/host", "-e", testhost.EnvLeaderless+"=1", "busybox", "chroot", "/host", self)
			v.await("its first thread to end", func() bool { return v.must("logs", "c1") == "the first thread has ended" })
			if got := v.must("inspect", "--format", "{{.State.Status}} {{.State.Pid}}", "c1"); got == "running 0" || !strings.HasPrefix(got, "running ") {
				v.Errorf("state %q", got)
			}
			if end == "input" {
				attach := v.command("attach", "c1")
				attach.Stdin = strings.NewReader("\n")
				if o := v.end(attach); fmt.Sprint(o.code) != want {
					v.Errorf("attach: %+v", o)
				}
			} else {
				v.must(append(strings.Fields(end), "c1")...)
			}
			v.await("the exit code "+want, func() bool {
				return v.must("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "c1") == "exited "+want
			})
			v.heal("c1")
		}
	})
}

// beside calls f for 0 to n-1, so many at once.
func (v *victims) beside(workers, n int, f func(i int)) {
	var next atomic.Int64
	var done sync.WaitGroup
	for range workers {
		done.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	done.Wait()
}

// Many who do anything at once to a few containers and networks, and are killed now and then, with monitors: whatever they
// meet, an address has one holder, a name one container, every command ends, and in the end nothing is left.
func TestC2Chaos(t *testing.T) {
	faults(t, func(v *victims) {
		span, workers := 12*time.Second, 4
		if allFaults() {
			span, workers = 10*time.Minute, 32
		}
		v.must("network", "create", "n1")
		v.must("network", "create", "n2")
		end := time.Now().Add(span)
		var done sync.WaitGroup
		for w := range workers {
			done.Go(func() {
				random := rand.New(rand.NewPCG(uint64(w), 7))
				for time.Now().Before(end) && !v.Failed() {
					v.anything(random)
				}
			})
		}
		for time.Now().Before(end) && !v.Failed() {
			time.Sleep(time.Second)
			v.killAny()
			v.oneHolderEach()
		}
		done.Wait()
		for i := range 10 {
			v.must("rm", "-f", fmt.Sprintf("c%d", i))
		}
		v.must("network", "rm", "n1")
		v.must("network", "rm", "n2")
		v.must(runArgs("c1")...)
		v.must("rm", "-f", "c1")
		v.healed()
	})
}

// anything does one thing, which may be refused, and must end.
func (v *victims) anything(random *rand.Rand) {
	name, network := fmt.Sprintf("c%d", random.IntN(10)), []string{"net", "n1", "n2"}[random.IntN(3)]
	all := [][]string{
		{"run", "-d", "--name", name, "--network", network, "busybox", "sleep", "1000"},
		{"run", "-d", "--name", name, "--network", network, "-p", "8080:80", "--restart", "always", "busybox", "sleep", "1"},
		{"exec", name, "true"},
		{"stop", "-t", "0", name},
		{"start", name},
		{"rm", "-f", name},
		{"kill", name},
		{"ps", "-a"},
		{"network", "connect", network, name},
		{"network", "disconnect", network, name},
		{"restart", "-t", "0", name},
	}
	args := all[random.IntN(len(all))]
	by := []string{"timeout", "-s", "KILL", "60"}
	if random.IntN(8) == 0 {
		by[3] = fmt.Sprintf("0.%03d", random.IntN(60))
	}
	o := v.end(v.wrapped(by, args...))
	if o.took >= time.Minute { // a code of 137 may be that of a program whose container was killed
		v.Errorf("%s hangs", strings.Join(args, " "))
	}
	if strings.Contains(o.stderr, "panic:") {
		v.Errorf("%s: %s", strings.Join(args, " "), o.stderr)
	}
}

// killAny kills one of the monitors.
func (v *victims) killAny() {
	for _, pid := range pids() {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if strings.HasPrefix(string(line), "ctr-monitor\x00") {
			_ = unix.Kill(pid, unix.SIGKILL) // it has ended
			return
		}
	}
}

// oneHolderEach looks at the addresses of all containers that run. A look takes its time, in which an address may go from one
// to another: two hold it if both have it on the same links in a second look, as they had it all the time between.
func (v *victims) oneHolderEach() {
	v.Helper()
	first := v.holders()
	holders := map[string][]string{}
	for holder := range v.holders() {
		if first[holder] {
			address := strings.Fields(holder)[2]
			holders[address] = append(holders[address], holder)
		}
	}
	for address, who := range holders {
		if len(who) > 1 {
			v.Errorf("%s has two holders (namespace, link, address): %q", address, who)
		}
	}
}

// holders returns who has which address: "namespace link address".
func (v *victims) holders() map[string]bool {
	v.Helper()
	const script = `for n in /run/netns/*; do
		i=$(stat -c %i "$n") && ip netns exec "${n##*/}" ip -o -4 addr show scope global | sed "s/^\([0-9]*\): .* inet \([^ ]*\).*/$i \1 \2/"
	done 2>/dev/null; true` // one that has ended meanwhile is none
	out, err := exec.Command("sh", "-c", script).Output()
	if err != nil {
		v.Errorf("look at the addresses: %v", err)
	}
	all := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		all[strings.TrimSpace(line)] = true
	}
	return all
}
