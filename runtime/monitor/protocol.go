package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ctr/runtime/attach"
	"ctr/runtime/engine"
)

// The protocol between a command that starts a container and its monitor, version 1. It goes over a socketpair of type
// SOCK_SEQPACKET, one message a packet:
//
//	ctr start                                     monitor
//	  ── exec: ctr-monitor DATA RUN ID ──────────────▶
//	     descriptors: 3 this socket, 4 the container's lock, 5 the first client's connection, or none,
//	     6 the file of package span, or none
//	  ◀──────────────────── reply{warnings} ──           the program runs and its network works, or
//	  ◀──────────── reply{error, hint, code} ──          it does not, and nothing is left of the try
//
// The command may die at any moment; the monitor goes on.
const (
	argv0 = "ctr-monitor"
	// ProbeName is argv[0] of a health check, which is executed with the same arguments (package health).
	ProbeName = "ctr-health"

	controlFD = 3
	lockFD    = 4
	clientFD  = 5
	spansFD   = 6

	envSpans = "CTR_SPANS" // set: the descriptor for spans is there
)

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
