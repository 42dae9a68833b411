package lifecycle

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"ctr/internal/proc"
	"ctr/runtime/container"
	"ctr/runtime/engine"
)

// drainName is argv[0] of the process that keeps the terminal of an `exec -t` that its user has left: without one, the kernel would hang up
// on the program (tty_ioctl(4)). There is no daemon to do it. It also writes down how the program ended. Its arguments are the data
// root, the run root, the container's ID and the program's process; its descriptors 3 and 4 the terminal and the program's pidfd.
const drainName = "ctr-drain"

// exitUnknown is the exit code of a program of which nobody knows how it ended.
const exitUnknown = 255

// DrainMain reads a terminal until its last program has ended, and does not return, if this process was started for that; else
// it does nothing.
func DrainMain() {
	if os.Args[0] != drainName {
		return
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		io.Copy(io.Discard, os.NewFile(3, "pty")) //nolint:errcheck // it ends with EIO
	}()
	if len(os.Args) == 5 {
		if program, err := proc.Parse(os.Args[4]); err == nil {
			tellEnd(Roots{Data: os.Args[1], Run: os.Args[2]}, os.Args[3], program, os.NewFile(4, "pidfd"))
		}
	}
	<-drained
	os.Exit(0)
}

// tellEnd waits for the end of a program of a container, which is no child of this process, and notes it in the journal.
func tellEnd(roots Roots, id string, program proc.ID, pidfd *os.File) {
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}, -1)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	code := exitUnknown
	if status, known := program.ExitStatus(pidfd); known {
		code = engine.ExitCode(syscall.WaitStatus(status))
	}
	in, err := Open(roots)
	if err != nil {
		return
	}
	if c, err := in.Containers.Load(id); err == nil {
		in.Notify(c, "exec_die", "exitCode", strconv.Itoa(code))
	}
}

// keepTerminal leaves a program and its terminal to a process of their own. The caller closes its own descriptor.
func (in *Installation) keepTerminal(c *container.Container, p *engine.Process) error {
	pidfd, err := p.ID.Open()
	if err != nil {
		return fmt.Errorf("keep terminal: %w", err)
	}
	defer pidfd.Close()
	cmd := outliving([]string{drainName, in.Roots.Data, in.Roots.Run, c.ID, p.ID.String()}, p.Pty, pidfd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("keep terminal: %w", err)
	}
	return cmd.Process.Release()
}
