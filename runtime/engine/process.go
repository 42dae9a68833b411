package engine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/opencontainers/runc/libcontainer"

	"ctr/internal/proc"
	"ctr/internal/span"
)

// Stdio is what a program's standard streams are. A nil file is /dev/null. The files stay the caller's, who closes them once
// the program has started. With Console, the program gets a terminal of that size instead (0 by 0: unknown), and the files
// are not used.
type Stdio struct {
	Stdin, Stdout, Stderr *os.File
	Console               bool
	Width, Height         uint16
}

// Process is a program that the caller started in a container, and its child.
type Process struct {
	ID proc.ID
	// Pty is the terminal's other end, nil without Console. A read returns EIO, and not EOF, when the last program that had
	// the terminal is gone. The caller closes it.
	Pty *os.File

	p      *libcontainer.Process
	reaped bool
}

// Wait reaps the program and returns its exit code, 128 + n if signal n ended it. It must be called once.
func (p *Process) Wait() (code int, err error) {
	state, err := p.p.Wait()
	p.reaped = true
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, fmt.Errorf("wait for process %d: %w", p.ID.PID, err)
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok {
		return 0, fmt.Errorf("wait for process %d: unknown status %v", p.ID.PID, state)
	}
	return ExitCode(status), nil
}

// ExitCode is a program's, 128 + n if signal n ended it.
func ExitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// start runs p in c as libcontainer does it, and brings the terminal along.
func start(c *libcontainer.Container, p *libcontainer.Process, io Stdio) (_ *Process, err error) {
	defer span.Begin("start init").End()
	var tty *console
	if io.Console {
		if tty, err = newConsole(); err != nil {
			return nil, err
		}
		defer tty.close()
		p.ConsoleSocket, p.ConsoleWidth, p.ConsoleHeight = tty.theirs, io.Width, io.Height
	} else {
		setStdio(p, io)
	}
	if err := c.Start(p); err != nil {
		return nil, startError(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Signal(os.Kill))
			_, _ = p.Wait() // its code says that it was killed
		}
	}()
	started := &Process{p: p}
	pid, err := p.Pid()
	if err != nil {
		return nil, fmt.Errorf("start container: %w", err)
	}
	if started.ID, err = proc.Of(pid); err != nil && !errors.Is(err, proc.ErrGone) {
		return nil, fmt.Errorf("start container: %w", err)
	}
	if io.Console {
		if started.Pty, err = tty.receive(); err != nil {
			return nil, err
		}
	}
	return started, nil
}

// setStdio leaves out nil files: a nil *os.File in an interface is not nil to os/exec.
func setStdio(p *libcontainer.Process, io Stdio) {
	if io.Stdin != nil {
		p.Stdin = io.Stdin
	}
	if io.Stdout != nil {
		p.Stdout = io.Stdout
	}
	if io.Stderr != nil {
		p.Stderr = io.Stderr
	}
}
