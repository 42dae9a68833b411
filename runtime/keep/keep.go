package keep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"ctr/internal/proc"
	"ctr/runtime/attach"
	"ctr/runtime/logs"
)

// Service is something that is served from its descriptors until ctx ends: names, a published port.
type Service func(ctx context.Context) error

// Config is what a keeper works on. All files belong to it.
type Config struct {
	Init      proc.ID  // a child of this process
	Stdin     *os.File // the writing end of the program's stdin; nil: it has none
	Stdout    *os.File // the reading ends; with Pty both nil
	Stderr    *os.File
	Pty       *os.File          // the terminal's master; carries stdin and stdout
	StdinOnce bool              // stdin ends when the first client that had it leaves
	Log       *logs.Writer      // nil: none
	Listener  *net.UnixListener // where clients come from
	First     *attach.Conn      // a client that was there before the program started; may be nil
	Services  []Service
}

// Keeper keeps one running container.
type Keeper struct {
	cfg   Config
	hub   *hub
	pumps sync.WaitGroup
	stdin stdin
	stop  context.CancelFunc
}

// Start begins to copy, to answer and to serve. It returns when the first client, if any, is served.
func Start(cfg Config) (*Keeper, error) {
	ctx, stop := context.WithCancel(context.Background())
	k := &Keeper{cfg: cfg, hub: newHub(), stop: stop}
	k.stdin.f = cfg.Stdin
	if cfg.Pty != nil {
		k.stdin.f = cfg.Pty
	}
	if cfg.First != nil {
		if err := k.greet(cfg.First); err != nil {
			stop()
			return nil, fmt.Errorf("serve first client: %w", err)
		}
	}
	k.pump(cfg.Pty, attach.Stdout)
	k.pump(cfg.Stdout, attach.Stdout)
	k.pump(cfg.Stderr, attach.Stderr)
	go k.accept()
	for _, s := range cfg.Services {
		go s(ctx) //nolint:errcheck // a service that ends is as good as one whose descriptor is closed
	}
	return k, nil
}

// WaitInit waits for the end of the init and returns its exit code; 128 + n if signal n ended it.
func (k *Keeper) WaitInit() (int, error) {
	var ws unix.WaitStatus
	for {
		_, err := unix.Wait4(k.cfg.Init.PID, &ws, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, fmt.Errorf("wait for init: %w", os.NewSyscallError("wait4", err))
		case ws.Signaled():
			return 128 + int(ws.Signal()), nil
		case ws.Exited():
			return ws.ExitStatus(), nil
		}
	}
}

// Drain returns when all output has been copied, and closes the log. The caller has ended every process of the container:
// the streams end with the last of them.
func (k *Keeper) Drain() error {
	k.pumps.Wait()
	if k.cfg.Log == nil {
		return nil
	}
	return k.cfg.Log.Close()
}

// StopServices ends names and ports.
func (k *Keeper) StopServices() { k.stop() }

// Held tells whether another container uses the sandbox, and WaitReleased returns when none does.
func (k *Keeper) Held() bool { return k.hub.holders() > 0 }

// WaitReleased returns when no other container uses the sandbox.
func (k *Keeper) WaitReleased() { k.hub.waitHolders() }

// Exit tells all clients how the program ended.
func (k *Keeper) Exit(code int) { k.hub.exit(code) }

// Close takes no more clients.
func (k *Keeper) Close() {
	k.stop()
	if k.cfg.Listener != nil {
		k.cfg.Listener.Close()
	}
}

// pump copies one stream to the log and to all clients until it ends. With a terminal the end is EIO (tty_ioctl(4)).
func (k *Keeper) pump(f *os.File, kind attach.Kind) {
	if f == nil {
		return
	}
	stream := logs.Stdout
	if kind == attach.Stderr {
		stream = logs.Stderr
	}
	k.pumps.Add(1)
	go func() {
		defer k.pumps.Done()
		buf := make([]byte, attach.MaxPayload)
		for {
			n, err := f.Read(buf)
			if n > 0 {
				if k.cfg.Log != nil {
					k.cfg.Log.Write(stream, buf[:n]) //nolint:errcheck // a full disk must not stop the program
				}
				k.hub.output(kind, buf[:n])
			}
			if err != nil {
				return
			}
		}
	}()
}

func (k *Keeper) accept() {
	for {
		c, err := k.cfg.Listener.AcceptUnix()
		if err != nil {
			return
		}
		go k.greet(attach.Accepted(c)) //nolint:errcheck // who does not say hello is let go
	}
}

// greet reads what a new client wants, and serves it from then on.
func (k *Keeper) greet(conn *attach.Conn) error {
	kind, payload, err := conn.Receive()
	if err != nil {
		conn.Close()
		return err
	}
	c := &client{conn: conn}
	if err := json.Unmarshal(payload, &c.want); kind != attach.Hello || err != nil {
		conn.Close()
		return fmt.Errorf("client did not say hello, but %q", kind)
	}
	k.hub.add(c)
	go k.serve(c)
	return nil
}

func (k *Keeper) serve(c *client) {
	defer func() {
		k.hub.remove(c)
		c.conn.Close()
		if c.want.Stdin && k.cfg.StdinOnce {
			k.stdin.close()
		}
	}()
	for {
		kind, payload, err := c.conn.Receive()
		if err != nil {
			return
		}
		switch kind {
		case attach.Stdin:
			if c.want.Stdin {
				k.stdin.write(payload)
			}
		case attach.StdinEOF:
			if c.want.Stdin && k.cfg.StdinOnce {
				k.stdin.close()
			}
		case attach.Resize:
			if size, ok := attach.DecodeSize(payload); ok && k.cfg.Pty != nil {
				attach.SetSize(k.cfg.Pty, size) //nolint:errcheck // the program has gone
			}
		}
	}
}

// stdin is the program's input, shared by all clients that have it.
type stdin struct {
	mu     sync.Mutex
	f      *os.File
	closed bool
}

func (s *stdin) write(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f != nil && !s.closed {
		s.f.Write(p) //nolint:errcheck // a program that closed its stdin does not read what is typed
	}
}

// close ends the input. A terminal stays open: its user ends input by a character.
func (s *stdin) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f != nil && !s.closed {
		s.closed = true
		if isTerminal(s.f) {
			return
		}
		s.f.Close()
	}
}

func isTerminal(f *os.File) bool {
	tty := false
	if conn, err := f.SyscallConn(); err == nil {
		conn.Control(func(fd uintptr) { //nolint:errcheck // a closed file is no terminal
			_, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
			tty = err == nil
		})
	}
	return tty
}
