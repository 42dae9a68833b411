package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ctr/runtime/attach"
	"ctr/runtime/engine"
	"ctr/runtime/installation"
	"ctr/runtime/monitor/standby"
)

// The protocol between a command that starts a container and its monitor, version 2. It goes over a socketpair of type
// SOCK_SEQPACKET, one message a packet:
//
//	ctr start                                     monitor
//	  ── exec: ctr-monitor standby ──────────────────▶   perhaps long before it is known for which container
//	  ── order{data, run, id}, descriptors ──────────▶   or the end of the connection: nothing is to be done
//	  ◀──────────────────── reply{warnings} ──           the program runs and its network works, or
//	  ◀──────────── reply{error, hint, code} ──          it does not, and nothing is left of the try
//
// The descriptors are, in this order: the container's lock, the first client's connection, the file of package span; order says
// which of them there are. The command may die at any moment; the monitor goes on. Both are the same binary, but for the time
// between an upgrade and the next command; an order of another version is refused.
const (
	protocolVersion = 2

	// argv0 of a monitor whose command line is "ctr-monitor DATA RUN ID": one that has been a small keeper.
	argv0 = standby.Name
	// ProbeName is argv[0] of a health check, which is executed with the same arguments (package health).
	ProbeName = "ctr-health"

	lockFD = standby.LockFD
)

// order is the command's only message.
type order struct {
	Version int    `json:"version"`
	Data    string `json:"data"`
	Run     string `json:"run"`
	ID      string `json:"id"`
	// Succeeds says that the container runs already, and that its monitor was killed.
	Succeeds bool `json:"succeeds,omitempty"`
	Client   bool `json:"client,omitempty"`
	Spans    bool `json:"spans,omitempty"`
}

func (o order) roots() installation.Roots { return installation.Roots{Data: o.Data, Run: o.Run} }

// sendOrder sends the order with its files. A nil client or spans is left out.
func sendOrder(control *os.File, o order, lock, client, spans *os.File) error {
	files := []*os.File{lock}
	if o.Client = client != nil; o.Client {
		files = append(files, client)
	}
	if o.Spans = spans != nil; o.Spans {
		files = append(files, spans)
	}
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	o.Version = protocolVersion
	text, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("order monitor: %w", err)
	}
	if err := unix.Sendmsg(int(control.Fd()), text, unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("order monitor: %w", os.NewSyscallError("sendmsg", err))
	}
	return nil
}

// errDismissed is returned when the command has ended, and nothing is to be done.
var errDismissed = errors.New("no order came")

// receiveOrder waits for the order. The lock gets its place; client and spans are nil if there are none.
func receiveOrder(control *os.File) (o order, client, spans *os.File, err error) {
	text, oob := make([]byte, 3*unix.PathMax), make([]byte, unix.CmsgSpace(3*4))
	var n, oobn int
	for {
		n, oobn, _, _, err = unix.Recvmsg(int(control.Fd()), text, oob, unix.MSG_CMSG_CLOEXEC)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil || n == 0 {
		return o, nil, nil, errDismissed
	}
	if err := json.Unmarshal(text[:n], &o); err != nil {
		return o, nil, nil, fmt.Errorf("read order: %w", err)
	}
	if o.Version != protocolVersion {
		return o, nil, nil, fmt.Errorf("read order: version %d, want %d: ctr was replaced meanwhile, try again", o.Version, protocolVersion)
	}
	fds, err := rights(oob[:oobn])
	want := 1
	for _, there := range []bool{o.Client, o.Spans} {
		if there {
			want++
		}
	}
	if err != nil || len(fds) != want {
		return o, nil, nil, errors.Join(fmt.Errorf("read order: %d descriptors, want %d", len(fds), want), err)
	}
	if err := unix.Dup3(fds[0], lockFD, unix.O_CLOEXEC); err != nil {
		return o, nil, nil, fmt.Errorf("read order: %w", os.NewSyscallError("dup3", err))
	}
	unix.Close(fds[0])
	fds = fds[1:]
	if o.Client {
		client, fds = os.NewFile(uintptr(fds[0]), "client"), fds[1:]
	}
	if o.Spans {
		spans = os.NewFile(uintptr(fds[0]), "spans")
	}
	return o, client, spans, nil
}

// rights returns the descriptors in a control message (unix(7), SCM_RIGHTS).
func rights(oob []byte) ([]int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		return nil, err
	}
	return unix.ParseUnixRights(&messages[0])
}

// reply is the monitor's only message.
type reply struct {
	Error    string   `json:"error,omitempty"`
	Hint     string   `json:"hint,omitempty"`
	Code     int      `json:"code,omitempty"` // 126, 127; 0: 125
	Warnings []string `json:"warnings,omitempty"`
}

// startError carries what the monitor said to the command that asked.
type startError struct {
	msg, hint string
}

func (e *startError) Error() string { return e.msg }
func (e *startError) Hint() string  { return e.hint }

// replyOf puts an error into words that survive the way to another process.
func replyOf(err error) reply {
	r := reply{Error: err.Error()}
	if start, ok := errors.AsType[*engine.StartError](err); ok {
		r.Code = start.Code
	}
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		r.Hint = hinted.Hint()
	}
	return r
}

func (r reply) err() error {
	if r.Error == "" {
		return nil
	}
	err := error(&startError{r.Error, r.Hint})
	if r.Code != 0 {
		return &engine.StartError{Code: r.Code, Message: r.Error}
	}
	return err
}

// encodeReply cuts an error that is too long for one packet.
func encodeReply(r reply) []byte {
	b, err := json.Marshal(r)
	if err != nil || len(b) > attach.MaxPayload {
		b, _ = json.Marshal(reply{Error: r.Error[:min(len(r.Error), 1024)], Code: r.Code})
	}
	return b
}

func sendReply(control *os.File, r reply) error {
	_, err := unix.Write(int(control.Fd()), encodeReply(r))
	return err
}

func receiveReply(control *os.File) (reply, error) {
	buf := make([]byte, attach.MaxPayload)
	for {
		n, err := unix.Read(int(control.Fd()), buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return reply{}, fmt.Errorf("hear from monitor: %w", os.NewSyscallError("read", err))
		case n == 0:
			return reply{}, errors.New("the container's monitor ended before the container ran; it was killed, or see its log")
		}
		return decodeReply(buf[:n])
	}
}

func decodeReply(b []byte) (reply, error) {
	var r reply
	if err := json.Unmarshal(b, &r); err != nil {
		return reply{}, fmt.Errorf("hear from monitor: %w", err)
	}
	return r, nil
}
