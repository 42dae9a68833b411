package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"ctr/runtime/attach"
	"ctr/runtime/container"
	"ctr/runtime/lifecycle"
)

// terminal is the caller's side of an attached program. With a terminal on both sides, the caller's is in raw mode until
// close: every key, ctrl-C too, goes to the program.
type terminal struct {
	streams attach.Streams

	ui     *ui
	before *term.State // to be restored; nil: nothing was changed
	resize chan os.Signal
	once   sync.Once
}

// openTerminal prepares the caller's streams. The caller closes it, also when the program has ended in any way.
func openTerminal(ui *ui, w wanted, keys []byte) (*terminal, error) {
	t := &terminal{ui: ui}
	if w.stdin && ui.in != nil {
		t.streams.Stdin = ui.in
	}
	if w.stdout {
		t.streams.Stdout = ui.out
	}
	if w.stderr && !w.tty {
		t.streams.Stderr = ui.err
	}
	if !w.tty {
		return t, nil
	}
	if t.streams.Stdout == nil && w.stderr {
		t.streams.Stdout = ui.out // a terminal's output is one stream
	}
	if w.stdin && ui.stdinIsTerminal() {
		t.streams.DetachKeys = keys
		var err error
		if t.before, err = term.MakeRaw(int(ui.in.Fd())); err != nil {
			return nil, fmt.Errorf("set terminal to raw mode: %w", err)
		}
	}
	t.watchSize()
	return t, nil
}

// watchSize tells the program the size of the caller's terminal now, and whenever it changes.
func (t *terminal) watchSize() {
	t.resize = make(chan os.Signal, 1)
	signal.Notify(t.resize, unix.SIGWINCH) // before the look: no change may come between
	size, ok := t.size()
	if !ok {
		return
	}
	sizes := make(chan attach.Size, 1)
	sizes <- size
	t.streams.Resize = sizes
	go func() {
		for range t.resize {
			now, ok := t.size()
			if !ok || now == size {
				continue
			}
			size = now
			select { // only the newest one counts
			case <-sizes:
			default:
			}
			sizes <- size
		}
		close(sizes)
	}()
}

// size is that of standard output's terminal, or of standard input's.
func (t *terminal) size() (attach.Size, bool) {
	for _, f := range []*os.File{t.ui.out.file, t.ui.in} {
		if f == nil {
			continue
		}
		if ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			return attach.Size{Width: ws.Col, Height: ws.Row}, true
		}
	}
	return attach.Size{}, false
}

// warn prints warnings while the terminal is in raw mode, where a line end does not go back to the first column.
func (t *terminal) warn(lines []string) {
	for _, line := range lines {
		if t.before != nil {
			line += "\r"
		}
		t.ui.warn(line)
	}
}

// close gives the terminal back as it was. It may be called again.
func (t *terminal) close() {
	t.once.Do(func() {
		if t.before != nil {
			term.Restore(int(t.ui.in.Fd()), t.before) //nolint:errcheck // it has gone
		}
		if t.resize != nil {
			signal.Stop(t.resize)
			close(t.resize)
		}
	})
}

// aboutUs are the signals that are about this process itself: its children, its pipes, its runtime (Go preempts goroutines by
// SIGURG).
var aboutUs = []syscall.Signal{unix.SIGCHLD, unix.SIGPIPE, unix.SIGURG}

// proxySignals sends the container's program all signals that this process gets, but those about itself. The returned function
// ends that.
func proxySignals(in *lifecycle.Installation, c *container.Container) func() {
	signals := make(chan os.Signal, 128)
	signal.Notify(signals)
	go func() {
		for s := range signals {
			sig, ok := s.(syscall.Signal)
			if !ok || slices.Contains(aboutUs, sig) {
				continue
			}
			err := in.Signal(context.Background(), c, sig)
			if errors.Is(err, container.ErrNotRunning) || errors.Is(err, container.ErrNotFound) {
				return
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}
