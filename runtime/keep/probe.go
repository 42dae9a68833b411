package keep

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Probe is a command that looks now and then how the program is: this program's own binary, or that of the ctr which started
// the container. All it finds out it keeps itself; the keeper only says when.
type Probe struct {
	Args     []string      `json:"args"`     // argv
	Interval time.Duration `json:"interval"` // from the end of one to the beginning of the next
	Early    time.Duration `json:"early"`    // the same after one that ended with ProbeEarly
	// Wait is how long it is to the next one. No time of day: the clock may be set while another program takes over.
	Wait time.Duration `json:"wait"`
}

// ProbeEarly is the exit code of a probe that wants to look again soon: the program is still starting.
const ProbeEarly = 3

// prober runs a program's probes, one at a time.
type prober struct {
	Probe
	binary string
	due    time.Time // when the next one is, by the clock that nobody sets

	mu      sync.Mutex
	timer   *time.Timer
	pid     int // of the probe that runs; 0: none
	stopped bool
	idle    *sync.Cond // pid has become 0
}

func newProber(p Probe, binary string) *prober {
	q := &prober{Probe: p, binary: binary, stopped: true, due: time.Now().Add(p.Wait)}
	q.idle = sync.NewCond(&q.mu)
	return q
}

// start begins to probe, or goes on.
func (q *prober) start() {
	if q == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped = false
	q.timer = time.AfterFunc(time.Until(q.due), q.probe)
}

// stop ends probing until start. While a probe runs it returns false, and probing goes on, unless it is to kill the probe.
func (q *prober) stop(kill bool) bool {
	if q == nil {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pid != 0 && !kill {
		return false
	}
	q.stopped = true
	if q.timer != nil {
		q.timer.Stop()
	}
	for q.pid != 0 {
		_ = unix.Kill(q.pid, unix.SIGKILL) // it is there: probe reaps it under the lock
		q.idle.Wait()
	}
	return true
}

// rest returns the probe as another program is to go on with it.
func (q *prober) rest() *Probe {
	if q == nil {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.Probe
	p.Wait = time.Until(q.due)
	return &p
}

// probe runs one, and sets the time of the next.
func (q *prober) probe() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped {
		return
	}
	wait := q.Interval
	if pid, err := q.fork(); err == nil {
		q.pid = pid
		q.mu.Unlock()
		awaitEnd(pid)
		q.mu.Lock()
		var ws unix.WaitStatus
		if _, err := unix.Wait4(pid, &ws, 0, nil); err == nil && ws.ExitStatus() == ProbeEarly {
			wait = q.Early
		}
		q.pid = 0
		q.idle.Broadcast()
	}
	q.due = time.Now().Add(wait)
	if !q.stopped {
		q.timer = time.AfterFunc(wait, q.probe)
	}
}

// fork starts the command in a session of its own, with the keeper's own streams, which are /dev/null.
func (q *prober) fork() (int, error) {
	pid, err := syscall.ForkExec(q.binary, q.Args, &syscall.ProcAttr{
		Dir: "/", Env: []string{"PATH=" + os.Getenv("PATH")}, Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, fmt.Errorf("run probe: %w", err)
	}
	return pid, nil
}

// awaitEnd returns when a child has ended, and leaves it to be reaped.
func awaitEnd(pid int) {
	for errors.Is(unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
}
