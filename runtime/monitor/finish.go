package monitor

import (
	"os"
	"time"

	"ctr/internal/proc"
	"ctr/runtime/container"
	"ctr/runtime/engine"
)

// noProcess is the init of a container that has none.
var noProcess proc.ID

// keep waits for the end of the container's init.
func (r *run) keep() (int, error) { return r.keeper.WaitInit() }

// finish takes the run down: first every process, then the record of how it ended, then what the processes used. It goes on
// past errors and leaves them in the monitor's log; what it could not remove the next command sweeps.
func (m *monitor) finish(r *run, code int, again decision) error {
	oom, err := engine.OOMKilled(m.in.Containers.RunRoot(), m.c.ID)
	m.note("ask for OOM kills", err)
	m.note("end processes", engine.Destroy(m.in.Containers.RunRoot(), m.c.ID))
	exit := container.Exit{
		StartedAt: r.began, FinishedAt: time.Now(), ExitCode: code, OOMKilled: oom,
		Restarts: m.record.Restarts, Stopped: m.c.StopAsked(),
	}
	m.note("write exit record", m.c.WriteExit(exit))
	m.record.Init = noProcess
	m.record.Restarting = again.restart
	m.note("drain output", r.keeper.Drain())
	held := r.keeper.Held()
	if held {
		m.record.Lingering = true
		m.note("record end", m.c.WriteMonitor(m.record))
		r.keeper.Exit(code)
		r.keeper.WaitReleased()
	}
	r.keeper.StopServices()
	m.note("take down network", r.closeSandbox())
	r.joins.close()
	if again.restart {
		m.record.Restarts++
		m.note("record restart", m.c.WriteMonitor(m.record))
	} else {
		m.note("remove run folder", removeRun(m.c))
		if m.c.AutoRemove {
			m.note("remove container", m.in.Discard(m.c, true))
		}
		// The lock goes before the last word, so that who waited for the end finds the container free.
		m.unlock()
	}
	r.keeper.Exit(code)
	r.keeper.Close()
	return nil
}

// unlock gives the container's lock back.
func (m *monitor) unlock() { os.NewFile(lockFD, "lock").Close() }

// note keeps an error for whoever wonders; teardown goes on.
func (m *monitor) note(step string, err error) {
	if err != nil {
		m.logf("%s %s: %v", time.Now().Format(time.RFC3339), step, err)
	}
}

// settle ends a container that waited to be started again.
func (m *monitor) settle() {
	if exit, err := m.c.ReadExit(); err == nil {
		exit.Stopped = true
		m.note("write exit record", m.c.WriteExit(exit))
	}
	m.note("remove run folder", removeRun(m.c))
	m.unlock()
}

func removeRun(c *container.Container) error { return os.RemoveAll(c.RunDir) }
