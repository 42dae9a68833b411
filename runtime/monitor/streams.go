package monitor

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ctr/runtime/attach"
	"ctr/runtime/container"
	"ctr/runtime/engine"
)

// streams are the FIFOs that carry the standard streams of a program without a terminal.
//
// The program's own ends of stdout and stderr are open for reading too (fifo(7)): when its monitor is killed a writer does not
// get SIGPIPE, but waits once the FIFO is full, until a successor opens it by its name.
type streams struct {
	stdin, stdout, stderr *os.File // the monitor's ends
	program               [3]*os.File
	console               bool
}

// openStreams makes the FIFOs, in place of those of an earlier run. With a terminal there are none.
func openStreams(c *container.Container) (s *streams, err error) {
	s = &streams{console: c.TTY}
	if c.TTY {
		return s, nil
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.stdout, s.program[1], err = openOutput(c.FIFO("stdout")); err != nil {
		return nil, err
	}
	if s.stderr, s.program[2], err = openOutput(c.FIFO("stderr")); err != nil {
		return nil, err
	}
	if !c.OpenStdin {
		s.program[0], err = os.Open(os.DevNull)
		return s, err
	}
	s.program[0], s.stdin, err = openInput(c.FIFO("stdin"))
	return s, err
}

func makeFIFO(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("make stream: %w", err)
	}
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return fmt.Errorf("make stream %q: %w", path, os.NewSyscallError("mkfifo", err))
	}
	return nil
}

// openOutput opens our end before the program's, which keeps it from ever seeing a FIFO without a reader.
func openOutput(path string) (ours, theirs *os.File, err error) {
	if err := makeFIFO(path); err != nil {
		return nil, nil, err
	}
	if ours, err = os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0); err != nil {
		return nil, nil, fmt.Errorf("open stream: %w", err)
	}
	if theirs, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
		ours.Close()
		return nil, nil, fmt.Errorf("open stream: %w", err)
	}
	return ours, theirs, nil
}

// reopenOutput opens our end of a stream whose program has its own already.
func reopenOutput(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open stream again: %w", err)
	}
	return f, nil
}

// reopenInput does so for its input; nil if the program reads no more.
func reopenInput(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENXIO) {
		return nil, nil //nolint:nilnil // documented
	}
	if err != nil {
		return nil, fmt.Errorf("open stream again: %w", err)
	}
	return f, nil
}

// openInput opens the program's end for reading only: it must see the end of its input when we close ours.
func openInput(path string) (theirs, ours *os.File, err error) {
	if err := makeFIFO(path); err != nil {
		return nil, nil, err
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open stream: %w", os.NewSyscallError("open", err))
	}
	if ours, err = os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0); err != nil {
		unix.Close(fd)
		return nil, nil, fmt.Errorf("open stream: %w", err)
	}
	if err := unix.SetNonblock(fd, false); err != nil { // the program expects a stdin that blocks
		unix.Close(fd)
		ours.Close()
		return nil, nil, fmt.Errorf("open stream: %w", os.NewSyscallError("fcntl", err))
	}
	return os.NewFile(uintptr(fd), path), ours, nil
}

// forProgram is what the program gets. The size is that of its terminal, if it has one.
func (s *streams) forProgram(size attach.Size) engine.Stdio {
	return engine.Stdio{
		Stdin: s.program[0], Stdout: s.program[1], Stderr: s.program[2],
		Console: s.console, Width: size.Width, Height: size.Height,
	}
}

// closeProgramEnds closes what only the program must hold: else its output would never end.
func (s *streams) closeProgramEnds() {
	for i, f := range s.program {
		if f != nil {
			f.Close()
			s.program[i] = nil
		}
	}
}

func (s *streams) close() {
	s.closeProgramEnds()
	for _, f := range []*os.File{s.stdin, s.stdout, s.stderr} {
		if f != nil {
			f.Close()
		}
	}
}
