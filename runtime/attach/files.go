package attach

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// MaxFiles is the most descriptors that one frame carries (SCM_MAX_FD in unix(7) is 253).
const MaxFiles = 240

// SendFiles writes one frame that carries copies of descriptors.
func (c *Conn) SendFiles(k Kind, payload []byte, files []*os.File) error {
	if len(files) == 0 {
		return c.Send(k, payload)
	}
	if len(payload) > MaxPayload || len(files) > MaxFiles {
		return fmt.Errorf("send %q frame: %d bytes and %d descriptors are too many", k, len(payload), len(files))
	}
	fds := make([]int, len(files))
	for i, f := range files {
		raw, err := f.SyscallConn() // Fd would make the file blocking
		if err != nil {
			return err
		}
		if err := raw.Control(func(fd uintptr) { fds[i] = int(fd) }); err != nil {
			return err
		}
	}
	c.out[0] = byte(k)
	n := copy(c.out[1:], payload)
	_, _, err := c.c.WriteMsgUnix(c.out[:1+n], unix.UnixRights(fds...), nil)
	return err
}

// ReceiveFiles is Receive for a connection whose frames may carry descriptors, which belong to the caller. Receive drops them.
func (c *Conn) ReceiveFiles() (Kind, []byte, []*os.File, error) {
	oob := make([]byte, unix.CmsgSpace(4*MaxFiles))
	n, oobn, flags, _, err := c.c.ReadMsgUnix(c.in[:], oob)
	files, parseErr := openRights(oob[:oobn])
	if err == nil {
		err = parseErr
	}
	if err == nil && flags&unix.MSG_CTRUNC != 0 {
		err = errors.New("receive frame: too many descriptors")
	}
	switch {
	case err != nil:
	case n == 0:
		err = io.EOF
	default:
		return Kind(c.in[0]), c.in[1:n], files, nil
	}
	for _, f := range files {
		f.Close()
	}
	if errors.Is(err, unix.ECONNRESET) || errors.Is(err, net.ErrClosed) {
		err = io.EOF
	}
	return 0, nil, nil, err
}

// openRights makes files of the descriptors in control messages. They are closed on execve(2) already.
func openRights(oob []byte) ([]*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue // of another kind
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}
