package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"ctr/internal/proc"
	"ctr/runtime/attach"
	"ctr/runtime/container"
	"ctr/runtime/engine"
	"ctr/runtime/installation"
	"ctr/runtime/keep"
)

// Succeed starts the successor of a monitor that was killed: it takes over the streams with what is still in them, the log, the
// resolver, the published ports, health checks and the wait, and then does what the first one would have done. The arguments
// and the duties of the caller are Spawn's. It returns, with what is lost as warnings for the user, when the container is kept
// again.
func Succeed(ctx context.Context, in *installation.Installation, c *container.Container, lock *container.Lock, client *os.File) ([]string, error) {
	return spawn(ctx, in, c, lock, client, order{Succeeds: true})
}

// Heir tells whether a container that nobody keeps is to have a successor: it runs, its restart policy may start it again, or
// others use its network.
func Heir(in *installation.Installation, c *container.Container, record container.Monitor) bool {
	if record.Init.Alive() && !record.StartedAt.IsZero() || record.Lingering && len(joiners(in, c.ID)) > 0 {
		return true
	}
	if c.StopAsked() || c.Restart.Name == "" || c.Restart.Name == "no" {
		return false
	}
	return record.Restarting || !record.StartedAt.IsZero()
}

// succeed is the life of a monitor that Succeed has started.
func (m *monitor) succeed() error {
	if err := m.inherit(); err != nil {
		m.answer(replyOf(err))
		return err
	}
	switch {
	case m.record.Restarting:
		return m.restartInstead()
	case m.record.Lingering:
		return m.lingerInstead()
	}
	r, err := m.takeOver()
	if err != nil {
		m.unlock()
		m.answer(replyOf(err))
		return err
	}
	m.answer(reply{Warnings: r.warnings})
	return m.live(r)
}

// restartInstead goes on where the monitor was killed between two runs, be it on the way to the next.
func (m *monitor) restartInstead() error {
	var r run
	m.note("end processes", engine.Destroy(m.in.Containers.RunRoot(), m.c.ID)) // of a start that had begun
	m.note("hold network for others", m.holdForJoiners())
	if m.keeper.Held() {
		m.note("take over network", m.adoptSandbox(&r))
	} else {
		m.note("take down network", m.in.Networks.Teardown(m.c.SandboxPath()))
	}
	m.record.Init = noProcess
	m.note("record succession", m.c.WriteMonitor(m.record))
	m.answer(reply{Warnings: r.warnings})
	unknown := attach.Result{ExitCode: container.ExitUnknown}
	if !m.rest(unknown, decision{restart: true, delay: max(m.policy.Delay, firstDelay)}) {
		m.leave(unknown)
		return nil
	}
	return m.live(nil)
}

// lingerInstead keeps the sandbox of a container that has ended, for others who use it.
func (m *monitor) lingerInstead() error {
	var r run
	m.note("hold network for others", m.holdForJoiners())
	m.note("take over network", m.adoptSandbox(&r))
	how := attach.Result{ExitCode: m.c.State().ExitCode}
	m.retire(how)
	m.answer(reply{Warnings: r.warnings})
	if !m.linger() {
		m.leave(how)
		return nil
	}
	return m.live(nil)
}

// joiners returns the first processes of the containers that run in the network of another one.
func joiners(in *installation.Installation, id string) []proc.ID {
	all, _ := in.Containers.List() // what is damaged runs nowhere
	var found []proc.ID
	for _, c := range all {
		if target, ok := c.Network.Mode.Container(); !ok || target != id {
			continue
		}
		if record, err := c.ReadMonitor(); err == nil && record.Init.Alive() {
			found = append(found, record.Init)
		}
	}
	return found
}

// holdForJoiners keeps the sandbox for who has joined it: their connections ended with the monitor.
func (m *monitor) holdForJoiners() error {
	var errs []error
	for _, p := range joiners(m.in, m.c.ID) {
		errs = append(errs, m.keeper.HoldFor(p))
	}
	return errors.Join(errs...)
}

// inherit reads what the monitor has left, and takes clients in its place. It is not in the record yet: until then others wait.
func (m *monitor) inherit() error {
	var err error
	if m.record, err = m.c.ReadMonitor(); err != nil {
		return fmt.Errorf("succeed monitor: %w", err)
	}
	m.record.Monitor = proc.Self()
	m.policy = newPolicy(m.c.Spec.Restart)
	m.policy.resume(m.record.Restarts)
	m.logf("%s the monitor was killed: process %d has taken over", time.Now().Format(time.RFC3339), m.record.Monitor.PID)
	return m.takeClients()
}

// takeOver takes over a run that another monitor began. What it cannot is a warning, since the container goes on all the same;
// an error says that nobody can keep it.
func (m *monitor) takeOver() (*run, error) {
	enterCgroup(m.in.CgroupParent())
	r := &run{m: m, began: m.record.StartedAt}
	p := &keep.Program{
		Init: m.record.Init, StdinOnce: m.c.StdinOnce && !m.c.TTY, Log: keptLog(m.c), Adopted: &keep.Adopted{},
	}
	lost := func(what string, err error) {
		if err != nil {
			r.warnings = append(r.warnings, what+": "+err.Error())
			m.note("take over "+what, err)
		}
	}
	if pidfd, err := p.Init.Open(); err == nil {
		p.Adopted.Pidfd, p.Probe = pidfd, m.probe()
		lost("streams", m.reopenStreams(p))
		lost("network", errors.Join(m.holdForJoiners(), m.adoptSandbox(r)))
		lost("hold on the other container's network", r.holdAgain())
	} else if !errors.Is(err, proc.ErrGone) {
		return nil, err
	}
	if err := m.c.WriteMonitor(m.record); err != nil {
		return nil, err
	}
	r.program = p
	return r, m.keeper.Run(p)
}

var errTerminalLost = errors.New("the program's terminal ended with the monitor")

// reopenStreams opens our ends of the streams. A terminal ended with the monitor that had its master.
func (m *monitor) reopenStreams(p *keep.Program) (err error) {
	if m.c.TTY {
		m.record.TerminalLost = true
		return errTerminalLost
	}
	if p.Stdout, err = reopenOutput(m.c.FIFO("stdout")); err != nil {
		return err
	}
	if p.Stderr, err = reopenOutput(m.c.FIFO("stderr")); err != nil {
		return err
	}
	if m.c.OpenStdin && !m.c.StdinOnce { // that of the one user has ended
		p.Stdin, err = reopenInput(m.c.FIFO("stdin"))
	}
	return err
}

// adoptSandbox takes over the container's network, if it has one of its own.
func (m *monitor) adoptSandbox(r *run) error {
	_, shares := m.c.Network.Mode.Container()
	_, elsewhere := m.c.Network.Mode.Path()
	if shares || elsewhere || m.c.Network.Mode == container.ModeHost {
		return nil
	}
	s, err := m.in.Networks.Adopt(m.c.SandboxPath(), m.record.Monitor, joiners(m.in, m.c.ID)...)
	if err != nil {
		return err
	}
	m.sandbox = s
	r.warnings = append(r.warnings, s.Warnings...)
	m.keeper.Serve(keep.Services{NetNS: s.NetNS, DNS: s.DNS, UDP: s.DNSUDP, TCP: s.DNSTCP, Forwards: s.Forwards()})
	return nil
}

// holdAgain asks the monitor of the container whose network this one shares to keep that.
func (r *run) holdAgain() error {
	id, shares := r.m.c.Network.Mode.Container()
	if !shares {
		return nil
	}
	target, err := r.m.in.Containers.Load(id)
	if err != nil {
		return err
	}
	if record, err := target.ReadMonitor(); err != nil || !record.Monitor.Alive() {
		return nil //nolint:nilerr // nobody keeps it
	}
	conn, err := hold(target)
	if err == nil {
		r.joins.net = &held{hold: conn}
	}
	return err
}

// reap lets the init go and returns how it ended; with container.ExitUnknown and the reason if nobody knows it.
func (r *run) reap() (attach.Result, error) {
	code, err := r.program.Reap()
	if errors.Is(err, keep.ErrExitUnknown) {
		return attach.Result{ExitCode: container.ExitUnknown, Unknown: err.Error()}, nil
	}
	return attach.Result{ExitCode: code}, err
}
