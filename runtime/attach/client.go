package attach

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
)

// ErrKeeperGone is returned when the connection ended without an exit code: the process that kept the container was killed.
var ErrKeeperGone = errors.New("the container's monitor has gone; the container may still run")

// Client is the looker's side of a connection.
type Client struct {
	conn *Conn
	s    Streams
	said Size // in the hello

	mu     sync.Mutex // writers: stdin and resize
	detach chan struct{}
}

// NewClient says hello on a connection. The connection belongs to the client from then on.
func NewClient(conn *Conn, s Streams) (*Client, error) { return newClient(conn, s, Request{}) }

// NewFirst does the same for the client that comes with a start. It says at once how large its terminal is.
func NewFirst(conn *Conn, s Streams) (*Client, error) {
	return newClient(conn, s, Request{Size: s.FirstSize()})
}

// NewStarter does the same with Request.Start: see AwaitStart.
func NewStarter(conn *Conn, s Streams) (*Client, error) {
	return newClient(conn, s, Request{Start: true, Size: s.FirstSize()})
}

func newClient(conn *Conn, s Streams, r Request) (*Client, error) {
	c := &Client{conn: conn, s: s, said: r.Size, detach: make(chan struct{})}
	r.Version, r.Stdin, r.Stdout, r.Stderr = Version, s.Stdin != nil, s.Stdout != nil, s.Stderr != nil
	if err := conn.SendJSON(Hello, r); err != nil {
		conn.Close()
		return nil, fmt.Errorf("say hello: %w", err)
	}
	return c, nil
}

// AwaitStart returns the monitor's answer to Request.Start, and whether the program runs.
func (c *Client) AwaitStart() (answer []byte, started bool, err error) {
	for {
		kind, payload, err := c.conn.Receive()
		switch {
		case errors.Is(err, io.EOF):
			return nil, false, ErrKeeperGone
		case err != nil:
			return nil, false, err
		case kind == Started, kind == Failed:
			return bytes.Clone(payload), kind == Started, nil
		}
	}
}

// Close leaves without waiting.
func (c *Client) Close() error { return c.conn.Close() }

// Wait relays until the program has ended and all its output is written, or the user types the detach keys. An error of
// writing to the caller's stdout or stderr ends it too. The connection is closed.
func (c *Client) Wait() (Result, error) {
	defer c.conn.Close()
	if c.s.Stdin != nil {
		go c.sendStdin()
	}
	if c.s.Resize != nil {
		go c.sendSizes()
	}
	type end struct {
		r   Result
		err error
	}
	ended := make(chan end, 1)
	go func() {
		r, err := c.receive()
		ended <- end{r, err}
	}()
	select {
	case e := <-ended:
		return e.r, e.err
	case <-c.detach:
		return Result{Detached: true}, nil
	}
}

func (c *Client) receive() (Result, error) {
	var unknown string
	for {
		kind, payload, err := c.conn.Receive()
		if errors.Is(err, io.EOF) {
			return Result{}, ErrKeeperGone
		}
		if err != nil {
			return Result{}, err
		}
		switch kind {
		case Stdout:
			err = write(c.s.Stdout, payload)
		case Stderr:
			err = write(c.s.Stderr, payload)
		case Exit:
			if code, ok := decodeExit(payload); ok {
				return Result{ExitCode: code, Unknown: unknown}, nil
			}
		case Unknown:
			unknown = string(payload)
		default: // a newer keeper's, or one that only keepers get
		}
		if err != nil {
			return Result{}, err
		}
	}
}

func write(w io.Writer, p []byte) error {
	if w == nil {
		return nil
	}
	_, err := w.Write(p)
	return err
}

func (c *Client) send(k Kind, p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn.Send(k, p)
}

// sendStdin passes on what the user types until it ends, the connection does, or the detach keys come.
func (c *Client) sendStdin() {
	keys := detacher{keys: c.s.DetachKeys}
	buf := make([]byte, MaxPayload-len(c.s.DetachKeys))
	for {
		n, err := c.s.Stdin.Read(buf)
		data, detached := keys.filter(buf[:n])
		if len(data) > 0 && c.send(Stdin, data) != nil {
			return
		}
		if detached {
			close(c.detach)
			return
		}
		if err != nil {
			_ = c.send(StdinEOF, nil) // with the connection, the other end loses its input anyway
			return
		}
	}
}

func (c *Client) sendSizes() {
	// A monitor of an older ctr has not understood it. Said twice, it changes nothing, and nobody gets a signal.
	if c.said != (Size{}) && c.send(Resize, encodeSize(c.said)) != nil {
		return
	}
	for size := range c.s.Resize {
		if c.send(Resize, encodeSize(size)) != nil {
			return
		}
		if c.s.Resized != nil {
			c.s.Resized(size)
		}
	}
}

// ErrDetached is returned by a DetachReader after the detach keys.
var ErrDetached = errors.New("detach keys were typed")

// DetachReader returns what the user types, and ErrDetached after the keys, which are left out.
func DetachReader(r io.Reader, keys []byte) io.Reader {
	return &detachReader{r: r, keys: detacher{keys: keys}}
}

type detachReader struct {
	r    io.Reader
	keys detacher
	rest []byte // was typed before the keys were complete
	err  error
}

func (d *detachReader) Read(p []byte) (int, error) {
	for len(d.rest) == 0 && d.err == nil {
		n, err := d.r.Read(p)
		out, detached := d.keys.filter(p[:n])
		d.rest, d.err = bytes.Clone(out), err
		if detached {
			d.err = ErrDetached
		}
	}
	n := copy(p, d.rest)
	if d.rest = d.rest[n:]; len(d.rest) > 0 {
		return n, nil
	}
	return n, d.err
}

// detacher finds the detach keys in what the user types. Keys that begin the sequence are held back until it is clear that
// they do not complete it.
type detacher struct {
	keys []byte
	held int // how many of keys have been typed
}

// filter returns what is to be sent of p, and whether the sequence is complete. The returned slice may be a new one.
func (d *detacher) filter(p []byte) (out []byte, detached bool) {
	if len(d.keys) == 0 || (d.held == 0 && bytes.IndexByte(p, d.keys[0]) < 0) {
		return p, false
	}
	out = make([]byte, 0, len(p)+d.held)
	for _, b := range p {
		if b != d.keys[d.held] {
			out = append(out, d.keys[:d.held]...)
			d.held = 0
			if b != d.keys[0] {
				out = append(out, b)
				continue
			}
		}
		d.held++
		if d.held == len(d.keys) {
			d.held = 0
			return out, true
		}
	}
	return out, false
}
