package monitor

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/runtime/attach"
	"ctr/runtime/engine"
)

type hinted struct{ error }

func (hinted) Hint() string { return "try that" }

func TestErrorsSurviveTheWay(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	defer ours.Close()
	pass := func(err error) error {
		if err := sendReply(theirs, replyOf(err)); err != nil {
			t.Fatal(err)
		}
		r, err := receiveReply(ours)
		if err != nil {
			t.Fatal(err)
		}
		return r.err()
	}
	got := pass(fmt.Errorf("start: %w", &engine.StartError{Code: 127, Message: "not found"}))
	var start *engine.StartError
	if !errors.As(got, &start) || start.Code != 127 || !strings.Contains(got.Error(), "not found") {
		t.Errorf("start error became %#v", got)
	}
	got = pass(hinted{errors.New("no way")})
	var h interface{ Hint() string }
	if !errors.As(got, &h) || h.Hint() != "try that" || got.Error() != "no way" {
		t.Errorf("hinted error became %#v", got)
	}
	if got := pass(errors.New(strings.Repeat("x", attach.MaxPayload))); got == nil || len(got.Error()) > 2048 {
		t.Errorf("long error became %.20v...", got)
	}
	theirs.Close()
	if _, err := receiveReply(ours); err == nil {
		t.Error("a monitor that was killed counts as one that succeeded")
	}
}
