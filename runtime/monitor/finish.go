package monitor

import (
	"errors"
	"os"
	"strconv"
	"time"

	"ctr/internal/proc"
	"ctr/internal/span"
	"ctr/runtime/attach"
	"ctr/runtime/container"
	"ctr/runtime/engine"
)

// noProcess is the init of a container that has none.
var noProcess proc.ID

// end takes a run down whose init has ended: every other process, the record of how it ended, and what only this run used, the
// cgroups beside the rest. It goes on past errors and leaves them in the monitor's log; what it could not remove the next command
// sweeps.
func (m *monitor) end(r *run, how attach.Result, ran time.Duration, again decision) {
	state, id := m.in.Containers.RunRoot(), m.c.ID
	oom, err := engine.OOMKilled(state, id)
	m.note("ask for OOM kills", err)
	destroyed := make(chan error, 1)
	go func() { destroyed <- errors.Join(engine.Destroy(state, id), m.releaseCgroup()) }()
	if m.record.Init, m.record.Restarting = noProcess, again.restart; again.restart {
		m.note("record restart", m.c.WriteMonitor(m.record)) // first, or it would seem to have ended for good
	}
	m.note("write exit record", m.c.WriteExit(container.Exit{
		StartedAt: r.began, FinishedAt: time.Now(), ExitCode: how.ExitCode, OOMKilled: oom,
		Restarts: m.record.Restarts, Stopped: m.c.StopAsked(), Health: m.c.Health(m.record.StartedAt), Error: how.Unknown,
	}))
	if oom {
		m.in.Notify(m.c, "oom")
	}
	m.in.Notify(m.c, "die", "exitCode", strconv.Itoa(how.ExitCode), "execDuration", strconv.Itoa(int(ran.Seconds())))
	m.note("drain output", r.program.End())
	// Of a PID namespace of its own the kernel has ended all with the init: the network goes at the same time as the cgroups.
	own := m.c.Namespaces.PID == container.ModePrivate
	if !own {
		m.note("end processes", <-destroyed)
	}
	r.joins.close()
	if !m.keeper.Held() {
		m.note("take down network", m.closeSandbox())
	}
	if own {
		m.note("end processes", <-destroyed)
	}
	m.in.NotifyVolumes(m.c, "unmount")
}

// reload reads the container again: it may have been renamed, or its policy changed.
func (m *monitor) reload() {
	if c, err := m.in.Containers.Load(m.c.ID); err == nil {
		m.c, m.policy.RestartPolicy = c, c.Restart
	}
}

// retire tells of the end, and records that nothing but the sandbox is kept. In this order: who reads the record gives orders, and is
// not to be told of an end.
func (m *monitor) retire(how attach.Result) {
	m.keeper.Rest(how)
	m.record.Lingering = true
	m.note("record end", m.c.WriteMonitor(m.record))
}

// linger keeps the sandbox for those who use it. It tells whether the container is to be started again.
func (m *monitor) linger() bool {
	released := m.keeper.Released()
	for {
		select {
		case <-released:
			return false
		case order := <-m.keeper.Orders():
			if order.Request.Start {
				m.order, m.size = &order, order.Request.Size
				m.reload()
				m.policy = newPolicy(m.c.Spec.Restart)
				m.note("start again", m.c.ForgetStop())
				return true
			}
			order.Started(nil)
			return false
		}
	}
}

// leave takes down what is left, and tells who waits. The container's lock goes before the last word, so that they find it free.
func (m *monitor) leave(how attach.Result) {
	defer span.Begin("leave").End()
	m.note("take down network", m.closeSandbox())
	remove := m.c.RemovedAtEnd()
	m.note("remove run folder", os.RemoveAll(m.c.RunDir))
	if remove {
		m.note("remove container", m.in.Discard(m.c, true))
	}
	m.unlock()
	m.keeper.Exit(how)
	m.keeper.Close()
}

// unlock gives the container's lock back.
func (m *monitor) unlock() { os.NewFile(lockFD, "lock").Close() }

// note keeps an error for whoever wonders; teardown goes on.
func (m *monitor) note(step string, err error) {
	if err != nil {
		m.logf("%s %s: %v", time.Now().Format(time.RFC3339), step, err)
	}
}
