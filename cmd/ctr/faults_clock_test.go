package main_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
)

// envClock says that the clock of this machine may be set.
const envClock = "CTR_TEST_CLOCK"

// clock is the time of day of the machine, which has no namespaces.
type clock struct {
	*testing.T
	began time.Time
}

// set sets it so many years off what it should be.
func (c *clock) set(years int) {
	c.Helper()
	now := c.began.Add(time.Since(c.began)).AddDate(years, 0, 0)
	spec := unix.NsecToTimespec(now.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &spec); err != nil {
		c.Fatalf("set the clock: %v", err)
	}
}

// While the clock jumps by ten years, forth and back, no command waits too long or too short, no exit code is lost, and health
// checks, restart policies and names go on. Not beside other tests, which look at the clock.
func TestB10ClockSteps(t *testing.T) {
	if os.Getenv(envClock) == "" {
		t.Skip("it sets the clock of the machine: make test-vm runs it in a machine of its own")
	}
	if !testhost.Inside() {
		prepare(t)
	}
	inHost(t, func(v *victims) {
		c := &clock{v.T, time.Now()}
		defer c.set(0)
		rounds := 6
		if allFaults() {
			rounds = 50
		}
		for i := range rounds {
			c.rounds(v, i)
		}
		c.health(v)
		c.set(0)
		v.heal("c1")
	})
}

// jumping runs ctr, and lets the clock jump once it has had so long.
func (c *clock) jumping(v *victims, after time.Duration, years int, args ...string) output {
	c.Helper()
	cmd := v.command(args...)
	jump := time.AfterFunc(after, func() { c.set(years) })
	defer jump.Stop()
	o := v.end(cmd)
	if o.took > time.Minute+patience {
		c.Errorf("%s took %v", args, o.took)
	}
	return o
}

func (c *clock) rounds(v *victims, i int) {
	c.Helper()
	years := []int{10, -10, 0, -10}
	there, back := years[i%4], years[(i+1)%4]
	after := time.Duration(i) * 20 * time.Millisecond
	if o := c.jumping(v, after, there, "run", "--rm", "--name", "c0", "--network", "net", "busybox", "sh", "-c", "sleep 1; exit 7"); o.code != 7 {
		c.Errorf("run: %+v", o)
	}
	v.must("run", "-d", "--name", "c1", "--network", "net", "--restart", "on-failure:2", "busybox", "sh", "-c", `trap "" TERM; while :; do sleep 1; done`)
	if o := c.jumping(v, after, back, "exec", "c1", "sh", "-c", "nslookup c1 >/dev/null && sleep 1; exit 5"); o.code != 5 {
		c.Errorf("exec: %+v", o)
	}
	if o := c.jumping(v, time.Second, there, "stop", "-t", "3", "c1"); o.code != 0 || o.took < 3*time.Second {
		c.Errorf("stop: %+v", o)
	}
	if got := v.must("wait", "c1"); got != "137" {
		c.Errorf("exit code of the program that was stopped: %s", got)
	}
	v.must("rm", "-f", "c1")
	v.must("run", "-d", "--name", "c1", "--network", "net", "--restart", "on-failure:2", "busybox", "sh", "-c", "sleep 0.2; exit 3")
	c.set(back)
	v.await("the restarts", func() bool {
		return v.must("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}", "c1") == "exited 3 2"
	})
	v.must("rm", "-f", "c1")
}

// health: the checks of a container go on when the clock jumps, also while the keeper takes over.
func (c *clock) health(v *victims) {
	c.Helper()
	for _, years := range []int{10, -10} {
		c.set(-years)
		v.must("run", "-d", "--name", "c1", "--network", "net", "--health-cmd", "true", "--health-interval", "1s", "busybox", "sleep", "1000")
		c.set(years)
		last := ""
		for i := range 4 {
			v.await(fmt.Sprintf("health check %d at %d years", i, years), func() bool {
				ends := strings.Fields(v.must("inspect", "--format", "{{range .State.Health.Log}}{{json .End}} {{end}}", "c1"))
				if len(ends) == 0 || ends[len(ends)-1] == last {
					return false
				}
				last = ends[len(ends)-1]
				return true
			})
		}
		v.must("rm", "-f", "c1")
	}
}
