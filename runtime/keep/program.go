package keep

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"ctr/internal/proc"
	"ctr/runtime/attach"
	"ctr/runtime/logs"
)

// Program is one run of a container's program. All files belong to it, and do not block (O_NONBLOCK).
type Program struct {
	Init      proc.ID  // a child of this process, unless there is Adopted
	Stdin     *os.File // the writing end of the program's stdin; nil: it has none
	Stdout    *os.File // the reading ends; with Pty both nil
	Stderr    *os.File
	Pty       *os.File // the terminal's master; carries stdin and stdout
	StdinOnce bool     // stdin ends when the first client that had it leaves
	Log       Log
	Probe     *Probe   // nil: none
	Adopted   *Adopted // nil: the program was started by this process

	keeper *Keeper
	log    logWriter // nil: none
	pumps  sync.WaitGroup
	stdin  stdin
	prober *prober
	binary string // what Probe executes
}

// Log is where a program's output is kept. An empty path: nowhere.
type Log struct {
	Path    string       `json:"path,omitempty"`
	Options logs.Options `json:"options"`
	// Journal says that it goes to journald, and no file.
	Journal *logs.JournalOptions `json:"journal,omitempty"`
	// pending are the beginnings of lines that a suspended keeper has read and not logged, by stream.
	pending [2][]byte
}

// Run begins to copy what the program prints, and to hand in what clients type.
func (k *Keeper) Run(p *Program) error {
	p.keeper = k
	p.stdin.f = p.Stdin
	if p.Pty != nil {
		p.stdin.f, p.stdin.terminal = p.Pty, true
	}
	if p.Probe != nil {
		p.prober = newProber(*p.Probe, cmp.Or(p.binary, "/proc/self/exe"))
	}
	k.mu.Lock()
	k.program = p
	close(k.runs)
	k.mu.Unlock()
	k.hub.rest(nil)
	return p.begin()
}

// begin opens the log and starts the pumps.
func (p *Program) begin() error {
	if err := p.openLog(); err != nil {
		return err
	}
	for stream, text := range p.Log.pending {
		if p.log != nil && len(text) > 0 {
			_ = p.log.Write(logs.Stream(stream), text) // as in pump
		}
		p.Log.pending[stream] = nil
	}
	p.pump(p.Pty, attach.Stdout, logs.Stdout)
	p.pump(p.Stdout, attach.Stdout, logs.Stdout)
	p.pump(p.Stderr, attach.Stderr, logs.Stderr)
	p.prober.start()
	return nil
}

// logWriter is where output is logged.
type logWriter interface {
	Write(s logs.Stream, p []byte) error
	Pending(s logs.Stream) []byte
	Close() error
}

var (
	_ logWriter = (*logs.Writer)(nil)
	_ logWriter = (*logs.Journal)(nil)
)

func (p *Program) openLog() error {
	switch {
	case p.Log.Journal != nil:
		j, err := logs.OpenJournal(logs.JournalSocket, *p.Log.Journal)
		if err != nil {
			return err
		}
		p.log = j
	case p.Log.Path != "":
		w, err := logs.Open(p.Log.Path, p.Log.Options)
		if err != nil {
			return err
		}
		p.log = w
	}
	return nil
}

// Wait returns when the init has ended. It leaves the init to be reaped, so that a successor can wait as well.
func (p *Program) Wait() error {
	if p.Adopted != nil {
		return p.Adopted.wait()
	}
	for {
		err := unix.Waitid(unix.P_PID, p.Init.PID, nil, unix.WEXITED|unix.WNOWAIT, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("wait for init: %w", os.NewSyscallError("waitid", err))
		}
		return nil
	}
}

// Reap lets the init go, once it has ended, and returns its exit code; 128 + n if signal n ended it. It returns ErrExitUnknown
// for one that is no child of this process, where the kernel does not tell.
func (p *Program) Reap() (int, error) {
	p.prober.stop(true)
	var ws unix.WaitStatus
	if p.Adopted != nil {
		ws, err := p.Adopted.status(p.Init)
		if err != nil {
			return 0, err
		}
		return exitCode(ws), nil
	}
	for {
		_, err := unix.Wait4(p.Init.PID, &ws, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, fmt.Errorf("reap init: %w", os.NewSyscallError("wait4", err))
		}
		return exitCode(ws), nil
	}
}

func exitCode(ws unix.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

// End returns when all output has been copied, and closes everything. The caller has ended every process of the container:
// the streams end with the last of them.
func (p *Program) End() error {
	p.pumps.Wait()
	p.keeper.mu.Lock()
	p.keeper.program, p.keeper.runs = nil, make(chan struct{})
	p.keeper.mu.Unlock()
	p.stdin.close()
	for _, f := range p.outputs() {
		f.Close()
	}
	p.Adopted.close()
	return p.closeLog()
}

// suspendLog closes the log, and keeps the beginnings of lines for who goes on.
func (p *Program) suspendLog() {
	if p.log == nil {
		return
	}
	for stream := range p.Log.pending {
		p.Log.pending[stream] = bytes.Clone(p.log.Pending(logs.Stream(stream)))
	}
	_ = p.log.Close() // nothing is left to be written
}

func (p *Program) closeLog() error {
	if p.log == nil {
		return nil
	}
	return p.log.Close()
}

// outputs are the files that pumps read.
func (p *Program) outputs() []*os.File {
	var all []*os.File
	for _, f := range []*os.File{p.Stdout, p.Stderr, p.Pty} {
		if f != nil {
			all = append(all, f)
		}
	}
	return all
}

// pump copies one stream to the log and to all clients until it ends, or the keeper is suspended. With a terminal the end is
// EIO (tty_ioctl(4)).
func (p *Program) pump(f *os.File, kind attach.Kind, stream logs.Stream) {
	if f == nil {
		return
	}
	p.pumps.Go(func() {
		buf := make([]byte, attach.MaxPayload)
		for {
			n, err := f.Read(buf)
			if n > 0 {
				if p.log != nil {
					_ = p.log.Write(stream, buf[:n]) // a full disk must not stop the program
				}
				p.keeper.hub.output(kind, buf[:n])
			}
			if err != nil {
				return
			}
		}
	})
}

// take does what a client's frame says.
func (p *Program) take(c *client, kind attach.Kind, payload []byte) {
	switch kind {
	case attach.Stdin:
		if c.want.Stdin {
			p.stdin.write(payload)
		}
	case attach.StdinEOF:
		if c.want.Stdin && p.StdinOnce {
			p.stdin.close()
		}
	case attach.Resize:
		if size, ok := attach.DecodeSize(payload); ok && p.Pty != nil {
			_ = attach.SetSize(p.Pty, size) // the program may have gone
		}
	default: // of a newer client, or what only clients get
	}
}

// stdin is the program's input, shared by all clients that have it.
type stdin struct {
	mu       sync.Mutex
	f        *os.File
	terminal bool
	closed   bool
}

func (s *stdin) write(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f != nil && !s.closed {
		_, _ = s.f.Write(p) // a program that closed its stdin does not read what is typed
	}
}

// close ends the input. A terminal stays open for its output: its user ends input by a character.
func (s *stdin) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f == nil || s.closed {
		return
	}
	s.closed = true
	if !s.terminal {
		s.f.Close()
	}
}
