package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ctr/internal/proc"
	"ctr/internal/span"
	"ctr/network"
	"ctr/network/netns"
	"ctr/runtime/attach"
	"ctr/runtime/container"
	"ctr/runtime/engine"
	"ctr/runtime/installation"
	"ctr/runtime/keep"
	"ctr/runtime/monitor/standby"
)

// The first thread must stay main's: a goroutine that locks itself to a thread and enters a namespace takes that thread with
// it when it ends, and the first thread cannot end. It would sit in the namespace for ever and pin it.
func init() { runtime.LockOSThread() }

// Main runs the monitor and does not return, if this process was started as one; else it does nothing. It comes before any
// look at the command line.
func Main() {
	if len(os.Args) == 0 || os.Args[0] != argv0 {
		return
	}
	var life func() error
	switch {
	case len(os.Args) > 1 && os.Args[1] == standby.Word:
		life = begin
	case len(os.Args) == 4 && keep.Replaces():
		life = func() error { return resume(installation.Roots{Data: os.Args[1], Run: os.Args[2]}, os.Args[3]) }
	default:
		return
	}
	takeOverSignals()
	OffFirstThread(func() int {
		if err := life(); err != nil {
			return 1
		}
		return 0
	})
}

// OffFirstThread is the process's life: it calls f on another thread than the first, and exits with the code that it returns.
// Work of the first thread's goroutine would change threads, two context switches in the kernel, whenever it waits for another
// goroutine: 1000 futex calls a start.
func OffFirstThread(f func() int) {
	code := make(chan int)
	go func() { code <- f() }()
	os.Exit(<-code)
}

// monitor is the process beside one container.
type monitor struct {
	in      *installation.Installation
	c       *container.Container
	record  container.Monitor
	control *os.File     // to the command that waits for the start; nil once it has its answer
	first   *attach.Conn // the first client; nil if there is none, and once the keeper has it
	// attached says that there was one, of which the journal has not told yet.
	attached bool
	size     attach.Size // of the terminal of who came with the start; zero: none, and once it has been used
	order    *keep.Order // the client that waits for another start

	policy  *policy
	keeper  *keep.Keeper
	sandbox *network.Sandbox // stays over runs as long as others use it; nil: none of its own
}

// begin is the life of a monitor's process that package standby has started.
func begin() error {
	control := os.NewFile(standby.ControlFD, "control")
	unix.CloseOnExec(standby.ControlFD)
	_ = os.Unsetenv("GOGC") // it has had its effect, and is not for those that this process executes
	engine.Warm()
	if slices.Contains(os.Args, standby.OwnNetwork) {
		netns.Prepare()
	}
	o, client, spans, err := receiveOrder(control)
	if errors.Is(err, errDismissed) {
		return nil
	}
	if err != nil {
		return errors.Join(err, sendReply(control, replyOf(err)))
	}
	retitle(argv0, o.Data, o.Run, o.ID)
	if spans != nil {
		span.Join(spans)
	}
	m, err := open(o.roots(), o.ID, client)
	if err != nil {
		return errors.Join(err, sendReply(control, replyOf(err)))
	}
	m.control = control
	if o.Succeeds {
		netns.Drop()
		return m.succeed()
	}
	m.record = container.Monitor{Monitor: proc.Self()}
	m.policy = newPolicy(m.c.Spec.Restart)
	if err := m.listen(); err != nil {
		return m.refuse(err)
	}
	return m.live(nil)
}

// takeOverSignals makes the process deaf to what is meant for the command that started it, and undoes the caller's umask.
func takeOverSignals() {
	// Caught and not ignored: an ignored signal stays so in the program that the container runs (execve(2)).
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGTERM, syscall.SIGQUIT,
		syscall.SIGUSR1, syscall.SIGUSR2)
	unix.Umask(0o022)
	// Else ps(1) and an error about a port in use would show "exe", from /proc/self/exe.
	name, _ := unix.BytePtrFromString(argv0)
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0)
}

// open takes the container that the order names, and its first client, if there is one.
func open(roots installation.Roots, id string, client *os.File) (*monitor, error) {
	defer span.Begin("open installation").End()
	m, err := openStores(roots, id)
	if err != nil || client == nil {
		return m, err
	}
	m.first, err = attach.FromFile(client)
	return m, err
}

// openStores opens the installation and the container in it.
func openStores(roots installation.Roots, id string) (*monitor, error) {
	in, err := installation.Open(roots)
	if err != nil {
		return nil, err
	}
	c, err := in.Containers.Load(id)
	if err != nil {
		return nil, err
	}
	return &monitor{in: in, c: c}, nil
}

// live is the monitor's life, from a run that goes on, or else from the first start: it runs the container until its policy
// lets it rest and nobody else needs its sandbox.
func (m *monitor) live(r *run) error {
	for {
		if r == nil {
			var err error
			if r, err = m.start(context.Background()); err != nil {
				return m.refuse(err)
			}
			// The journal first: what the command does after the answer stands behind the start there.
			if m.attached {
				m.in.Notify(m.c, "attach")
				m.attached = false
			}
			m.in.NotifyNetworks(m.c, "connect", r.networks)
			m.in.NotifyVolumes(m.c, "mount")
			m.in.Notify(m.c, "start")
			if m.size != (attach.Size{}) && m.c.TTY {
				m.in.NotifySize(m.c, m.size)
			}
			m.size = attach.Size{}
			m.answer(reply{Warnings: r.warnings})
		}
		running := span.Begin("program")
		m.note("wait for init", m.keep(r))
		running.End()
		how, err := r.reap()
		m.note("reap init", err)
		m.reload()
		ran := m.record.Init.Age()
		again := m.policy.next(m.c, how.ExitCode, ran)
		ending := span.Begin("end run")
		m.end(r, how, ran, again)
		ending.End()
		if !m.rest(how, again) {
			m.leave(how)
			return nil
		}
		r = nil
	}
}

// rest waits between two runs. It tells whether there is another one.
func (m *monitor) rest(how attach.Result, again decision) bool {
	switch {
	case again.restart:
		m.keeper.Exit(how)
		if !m.pauseBefore(again) {
			return false
		}
		m.reload()
		m.record.Restarts++
		return true
	case m.keeper.Held():
		m.retire(how)
		return m.linger()
	}
	return false
}

// listen makes the run folder, with the record of who keeps the container, and takes clients.
func (m *monitor) listen() error {
	if err := os.MkdirAll(m.c.RunDir, 0o700); err != nil {
		return fmt.Errorf("make run folder: %w", err)
	}
	if err := m.c.WriteMonitor(m.record); err != nil {
		return err
	}
	return m.takeClients()
}

// takeClients takes clients, the first of them, who came with the start, before all others.
func (m *monitor) takeClients() error {
	listener, err := attach.Listen(m.c.AttachPath())
	if err != nil {
		return err
	}
	m.keeper = keep.New(listener)
	if m.first == nil {
		return nil
	}
	first := m.first
	m.first, m.attached = nil, true
	wish, err := m.keeper.Greet(first)
	m.size = wish.Size
	return err
}

// refuse tells why the container does not run; nothing of the try is left.
func (m *monitor) refuse(err error) error {
	exit := container.Exit{ExitCode: 128, Error: err.Error()}
	if r := replyOf(err); r.Code != 0 {
		exit.ExitCode = r.Code
	}
	if last, readErr := m.c.ReadExit(); readErr == nil {
		exit.StartedAt, exit.FinishedAt = last.StartedAt, time.Now()
	}
	err = errors.Join(err, m.closeSandbox(), m.c.WriteExit(exit), os.RemoveAll(m.c.RunDir))
	if m.c.AutoRemove {
		err = errors.Join(err, m.in.Discard(m.c, true))
	}
	m.unlock()
	m.answer(replyOf(err))
	if m.keeper != nil {
		m.keeper.Exit(attach.Result{ExitCode: exit.ExitCode})
		m.keeper.Close()
	}
	return err
}

// answer tells whoever waits for the start, once.
func (m *monitor) answer(r reply) {
	if m.control != nil {
		sendReply(m.control, r) //nolint:errcheck // it has died, which is its right
		m.control.Close()
		m.control = nil
	}
	if m.order != nil {
		if b := encodeReply(r); r.Error == "" {
			m.order.Started(b)
		} else {
			m.order.Failed(b)
		}
		m.order = nil
	}
}

// logf writes a line for whoever wonders what went wrong after the command had its answer.
func (m *monitor) logf(format string, args ...any) {
	f, err := os.OpenFile(m.c.Dir+"/monitor.log", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintf(f, format+"\n", args...)
}
