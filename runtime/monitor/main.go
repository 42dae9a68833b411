package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"ctr/internal/proc"
	"ctr/runtime/attach"
	"ctr/runtime/container"
	"ctr/runtime/installation"
)

// The first thread must stay main's: a goroutine that locks itself to a thread and enters a namespace takes that thread with
// it when it ends, and the first thread cannot end. It would sit in the namespace for ever and pin it.
func init() { runtime.LockOSThread() }

// Main runs the monitor and does not return, if this process was started as one; else it does nothing. It comes before any
// look at the command line.
func Main() {
	if len(os.Args) == 4 && os.Args[0] == argv0 {
		os.Exit(serve(installation.Roots{Data: os.Args[1], Run: os.Args[2]}, os.Args[3]))
	}
}

// monitor is the process beside one container.
type monitor struct {
	in      *installation.Installation
	c       *container.Container
	record  container.Monitor
	control *os.File     // to the command that waits for the start; nil once it has its answer
	client  *attach.Conn // the first one; nil if there is none, and once the keeper has it
}

func serve(roots installation.Roots, id string) int {
	takeOverSignals()
	m, err := open(roots, id)
	if err != nil {
		sendReply(os.NewFile(controlFD, "control"), replyOf(err)) //nolint:errcheck // nobody else to tell
		return 1
	}
	if err := m.live(context.Background()); err != nil {
		return 1
	}
	return 0
}

// takeOverSignals makes the process deaf to what is meant for the command that started it, and undoes the caller's umask.
func takeOverSignals() {
	// Caught and not ignored: an ignored signal stays so in the program that the container runs (execve(2)).
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGTERM, syscall.SIGQUIT,
		syscall.SIGUSR1, syscall.SIGUSR2)
	unix.Umask(0o022)
}

// open takes what Spawn has passed on.
func open(roots installation.Roots, id string) (*monitor, error) {
	for fd := controlFD; fd <= clientFD; fd++ {
		unix.CloseOnExec(fd)
	}
	m := &monitor{control: os.NewFile(controlFD, "control")}
	if f, isSocket := inherited(clientFD); isSocket {
		conn, err := attach.FromFile(f)
		if err != nil {
			return nil, err
		}
		m.client = conn
	}
	var err error
	if m.in, err = installation.Open(roots); err != nil {
		return nil, err
	}
	if m.c, err = m.in.Containers.Load(id); err != nil {
		return nil, err
	}
	return m, nil
}

// inherited returns the file with the descriptor, if there is one and it is a socket.
func inherited(fd int) (*os.File, bool) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return nil, false
	}
	return os.NewFile(uintptr(fd), "client"), true
}

// live is the monitor's life: it runs the container until its policy lets it rest.
func (m *monitor) live(ctx context.Context) error {
	m.record = container.Monitor{Monitor: proc.Self()}
	policy := newPolicy(m.c.Spec.Restart)
	for {
		run, err := m.start(ctx)
		if err != nil {
			return m.refuse(err)
		}
		m.answer(reply{Warnings: run.warnings})
		code, err := run.keep()
		if err != nil {
			return err
		}
		again := policy.next(m.c, code, run.began)
		if err := m.finish(run, code, again); err != nil || !again.restart {
			return err
		}
		if !m.pauseBefore(again) {
			return nil
		}
	}
}

// refuse tells why the container does not run; nothing of the try is left.
func (m *monitor) refuse(err error) error {
	exit := container.Exit{ExitCode: 128, Error: err.Error()}
	if r := replyOf(err); r.Code != 0 {
		exit.ExitCode = r.Code
	}
	err = errors.Join(err, m.c.WriteExit(exit), removeRun(m.c))
	if m.c.AutoRemove {
		err = errors.Join(err, m.in.Discard(m.c, true))
	}
	m.answer(replyOf(err))
	return err
}

// answer tells the command that waits, once.
func (m *monitor) answer(r reply) {
	if m.control == nil {
		return
	}
	sendReply(m.control, r) //nolint:errcheck // it has died, which is its right
	m.control.Close()
	m.control = nil
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
