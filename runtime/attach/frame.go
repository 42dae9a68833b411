package attach

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Kind is the first byte of a frame.
type Kind byte

// The protocol, version 2. A client says hello, then both sides send as they like:
//
//	client                        keeper
//	  ── Hello{streams} ──────────▶        which streams it wants; with Hold, none: it only keeps the sandbox alive
//	  ── Stdin bytes ─────────────▶
//	  ── StdinEOF ────────────────▶        half-close
//	  ── Resize{width,height} ────▶
//	  ◀───────────── Stdout bytes ──
//	  ◀───────────── Stderr bytes ──
//	  ◀─────────── Unknown text ────       why the code that follows is not the program's: nobody knows that
//	  ◀──────────── Exit{code} ─────       the last one; with --rm only when all is gone
//
// A monitor whose container has ended may go on, since other containers use its sandbox. It takes orders by Hello{Start} and
// Hello{Leave}, and answers before anything else:
//
//	◀──────────── Started JSON ───       the program runs; the streams follow
//	◀───────────── Failed JSON ───       it does not; the last one
//
// Since version 2 a command may change what the keeper serves in the sandbox, after Hello{Change}. Descriptors travel with the
// frames (SCM_RIGHTS in unix(7)):
//
//	  ── Change part 0, files ────▶        what is served from now on, in as many frames as it takes
//	  ── Change last part, files ─▶
//	◀──────────────── Changed ────       it is
//	◀───────────── Failed text ───       or why not; then all is as before, or the container ends
//
// A client leaves by closing its end. An unknown kind is passed over, so that an older keeper serves a newer client.
const (
	Hello    Kind = 'h'
	Stdin    Kind = 'i'
	StdinEOF Kind = 'e'
	Resize   Kind = 'w'
	Stdout   Kind = 'o'
	Stderr   Kind = 'r'
	Exit     Kind = 'x'
	Unknown  Kind = 'u'
	Started  Kind = 's'
	Failed   Kind = 'f'
	Change   Kind = 'c'
	Changed  Kind = 'd'
)

// Version is the protocol's, for Request.
const Version = 2

// MaxPayload is the most bytes that one frame carries: two fit into a socket's default buffer several times over.
const MaxPayload = 32 << 10

// Request is the payload of Hello.
type Request struct {
	Version int  `json:"version"`
	Stdin   bool `json:"stdin,omitempty"`
	Stdout  bool `json:"stdout,omitempty"`
	Stderr  bool `json:"stderr,omitempty"`
	// Size is that of the terminal of a client that comes with a start: the program has it from its first instruction on.
	Size Size `json:"size,omitzero"`
	// Hold keeps the sandbox of the container, and nothing else, for as long as the connection lasts.
	Hold bool `json:"hold,omitempty"`
	// Start has the monitor of a container that has ended start it again, in the same sandbox.
	Start bool `json:"start,omitempty"`
	// Leave has it take the sandbox down, whoever uses it, and end.
	Leave bool `json:"leave,omitempty"`
	// Change announces Change frames.
	Change bool `json:"change,omitempty"`
}

// Conn is one end of an attach connection. Reading and writing may happen at the same time; each from one goroutine only.
type Conn struct {
	c   *net.UnixConn
	in  [1 + MaxPayload]byte
	out [1 + MaxPayload]byte
}

// Pair makes the two ends of a connection: one to keep, and one as a file to pass to a child.
func Pair() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make attach connection: %w", os.NewSyscallError("socketpair", err))
	}
	theirs := os.NewFile(uintptr(fds[1]), "attach")
	ours, err := FromFile(os.NewFile(uintptr(fds[0]), "attach"))
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// FromFile makes a connection of an inherited descriptor. The file is closed.
func FromFile(f *os.File) (*Conn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("take over attach connection: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("take over attach connection: not a unix socket")
	}
	return &Conn{c: u}, nil
}

// Dial connects to the keeper that listens at the path.
func Dial(path string) (*Conn, error) {
	var c *net.UnixConn
	err := throughDir(path, func(short string) error {
		var err error
		c, err = net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: short, Net: "unixpacket"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("attach: %w", err)
	}
	return &Conn{c: c}, nil
}

// Listen makes the socket at the path, in place of one that a dead keeper left.
func Listen(path string) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listen for attach: %w", err)
	}
	var l *net.UnixListener
	err := throughDir(path, func(short string) error {
		var err error
		if l, err = net.ListenUnix("unixpacket", &net.UnixAddr{Name: short, Net: "unixpacket"}); err != nil {
			return err
		}
		return os.Chmod(short, 0o600) // until then the umask, and its folder, keep others out
	})
	if err != nil {
		if l != nil {
			l.Close()
		}
		return nil, fmt.Errorf("listen for attach: %w", err)
	}
	l.SetUnlinkOnClose(false) // a successor may listen on
	return l, nil
}

// throughDir gives f a path to the same file that is short enough for a socket's address, however long the run root is
// (unix(7): 108 bytes).
func throughDir(path string, f func(short string) error) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return f("/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/" + filepath.Base(path))
}

// Accepted makes a connection of what a listener has accepted.
func Accepted(c *net.UnixConn) *Conn { return &Conn{c: c} }

// Send writes one frame. The payload is at most MaxPayload bytes.
func (c *Conn) Send(k Kind, payload []byte) error {
	if len(payload) > MaxPayload {
		return fmt.Errorf("send %q frame: %d bytes are too many", k, len(payload))
	}
	c.out[0] = byte(k)
	n := copy(c.out[1:], payload)
	_, err := c.c.Write(c.out[:1+n])
	return err
}

// SendJSON writes one frame that carries a small record.
func (c *Conn) SendJSON(k Kind, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.Send(k, b)
}

// Receive returns the next frame; the payload is valid until the next call. io.EOF: the other side has gone.
func (c *Conn) Receive() (Kind, []byte, error) {
	n, err := c.c.Read(c.in[:])
	switch {
	case err != nil && (errors.Is(err, unix.ECONNRESET) || errors.Is(err, net.ErrClosed)):
		return 0, nil, io.EOF
	case err != nil:
		return 0, nil, err
	case n == 0:
		return 0, nil, io.EOF
	}
	return Kind(c.in[0]), c.in[1:n], nil
}

// SetReadDeadline ends a Receive that waits, with os.ErrDeadlineExceeded and without losing a frame.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.c.SetReadDeadline(t) }

// SetWriteDeadline ends a Send that waits for the other side to take something, with os.ErrDeadlineExceeded.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.c.SetWriteDeadline(t) }

// CloseWrite tells the other side that nothing more comes.
func (c *Conn) CloseWrite() error { return c.c.CloseWrite() }

// Close ends the connection.
func (c *Conn) Close() error { return c.c.Close() }

// FD returns the descriptor's number; it stays the connection's.
func (c *Conn) FD() int {
	fd := -1
	if raw, err := c.c.SyscallConn(); err == nil {
		_ = raw.Control(func(n uintptr) { fd = int(n) })
	}
	return fd
}

// SyscallConn gives access to the descriptor, to pass on.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return c.c.SyscallConn() }

func encodeSize(s Size) []byte {
	b := binary.LittleEndian.AppendUint16(nil, s.Width)
	return binary.LittleEndian.AppendUint16(b, s.Height)
}

// DecodeSize reads the payload of Resize.
func DecodeSize(b []byte) (Size, bool) {
	if len(b) != 4 {
		return Size{}, false
	}
	return Size{binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:])}, true
}

func encodeExit(code int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(code)) }

// SendExit writes the last frame, after the reason why nobody knows the code, if there is one.
func (c *Conn) SendExit(how Result) error {
	if how.Unknown != "" {
		if err := c.Send(Unknown, []byte(how.Unknown)); err != nil {
			return err
		}
	}
	return c.Send(Exit, encodeExit(how.ExitCode))
}

func decodeExit(b []byte) (int, bool) {
	if len(b) != 4 {
		return 0, false
	}
	return int(int32(binary.LittleEndian.Uint32(b))), true
}
