package attach

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Size is the size of a terminal, in characters.
type Size struct {
	Width  uint16 `json:"width"`
	Height uint16 `json:"height"`
}

// SetSize gives a terminal a size, by its master (ioctl_tty(2), TIOCSWINSZ). Who runs in it gets SIGWINCH.
func SetSize(pty *os.File, s Size) error {
	conn, err := pty.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		failed = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: s.Height, Col: s.Width})
	})
	if err != nil {
		return err
	}
	return failed
}

// Streams are the caller's ends of a program's standard streams.
type Streams struct {
	Stdin      io.Reader   // nil: none
	Stdout     io.Writer   // nil: discarded; with a terminal, all output comes here
	Stderr     io.Writer   // nil: discarded
	DetachKeys []byte      // the bytes that, typed one after the other, leave the container to itself; empty: none
	Resize     <-chan Size // the size now, then each change; nil: the streams are no terminal
	Resized    func(Size)  // told of each size that was sent, but for FirstSize; nil: nobody is
}

// FirstSize takes the size that the terminal has now, for a program that is about to start; zero if there is none.
func (s Streams) FirstSize() Size {
	select {
	case size := <-s.Resize:
		return size
	default: // always so of a nil channel
		return Size{}
	}
}

// Result is how an attached session ended.
type Result struct {
	Detached bool   // by the detach keys: the container goes on
	ExitCode int    // the program's; 128 + n if signal n ended it
	Unknown  string // why it is not, if nobody knows that
}
