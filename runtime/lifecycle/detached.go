package lifecycle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"ctr/runtime/container"
	"ctr/runtime/engine"
)

// detachedName is argv[0] of the process that runs the program of a detached exec, and stays beside it: it reaps the program, which
// nobody else may do where the first process of the machine is no init, keeps its terminal, and writes down how it ended.
//
//	ctr exec -d ── detachedOrder ──▶ ctr-exec ──engine.Exec──▶ the program
//	            ◀── detachedReply ──┘ (closed when the program runs)
const detachedName = "ctr-exec"

type detachedOrder struct {
	Roots Roots
	ID    string
	Spec  ExecSpec
}

// detachedReply is why the program does not run. None is sent when it does.
type detachedReply struct {
	Text       string
	Code       int // of an *engine.StartError
	NotRunning bool
}

func (r detachedReply) err() error {
	switch {
	case r.Code != 0:
		return &engine.StartError{Code: r.Code, Message: r.Text}
	case r.NotRunning:
		return &restatedError{r.Text, container.ErrNotRunning}
	}
	return errors.New(r.Text)
}

// restatedError is an error of another process.
type restatedError struct {
	text string
	kind error
}

func (e *restatedError) Error() string { return e.text }
func (e *restatedError) Unwrap() error { return e.kind }

// execDetached returns when the program runs, or why it does not.
func (in *Installation) execDetached(c *container.Container, spec ExecSpec) error {
	order, err := json.Marshal(detachedOrder{in.Roots, c.ID, spec})
	if err != nil {
		return fmt.Errorf("run program in container %s: %w", c.Name, err)
	}
	replies, theirs, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("run program in container %s: %w", c.Name, err)
	}
	defer replies.Close()
	cmd := outliving([]string{detachedName}, theirs)
	cmd.Stdin = bytes.NewReader(order)
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return fmt.Errorf("run program in container %s: %w", c.Name, err)
	}
	text, err := io.ReadAll(replies)
	if err != nil {
		return fmt.Errorf("run program in container %s: %w", c.Name, err)
	}
	if len(text) == 0 {
		return cmd.Process.Release()
	}
	_ = cmd.Wait() // it has said what went wrong
	var reply detachedReply
	if err := json.Unmarshal(text, &reply); err != nil {
		return fmt.Errorf("run program in container %s: %w", c.Name, err)
	}
	return reply.err()
}

// outliving is a process of this program that stays when the command has gone, with the files as its descriptors from 3 on, and with
// nothing that the command's caller has left open: a lock, or a pipe whose reader waits for its end.
func outliving(args []string, files ...*os.File) *exec.Cmd {
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // Linux 5.11
	cmd := exec.Command("/proc/self/exe")
	cmd.Args, cmd.Dir, cmd.ExtraFiles = args, "/", files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// DetachedMain runs and reaps the program of a detached exec, and does not return, if this process was started for that; else it
// does nothing.
func DetachedMain() {
	if os.Args[0] != detachedName {
		return
	}
	replies := os.NewFile(3, "replies")
	syscall.CloseOnExec(3)
	in, c, p, err := beginDetached(os.Stdin)
	if err != nil {
		reply := detachedReply{Text: err.Error(), NotRunning: errors.Is(err, container.ErrNotRunning)}
		if start, ok := errors.AsType[*engine.StartError](err); ok {
			reply.Code = start.Code
		}
		_ = json.NewEncoder(replies).Encode(reply) // the command has gone
		os.Exit(1)
	}
	replies.Close()
	if p.Pty != nil {
		io.Copy(io.Discard, p.Pty) //nolint:errcheck // it ends with EIO
	}
	if code, err := p.Wait(); err == nil {
		in.Notify(c, "exec_die", "exitCode", strconv.Itoa(code))
	}
	os.Exit(0)
}

func beginDetached(r io.Reader) (*Installation, *container.Container, *engine.Process, error) {
	var order detachedOrder
	if err := json.NewDecoder(r).Decode(&order); err != nil {
		return nil, nil, nil, fmt.Errorf("read order: %w", err)
	}
	in, err := Open(order.Roots)
	if err != nil {
		return nil, nil, nil, err
	}
	c, err := in.Containers.Load(order.ID)
	if err != nil {
		return nil, nil, nil, err
	}
	cfg, err := in.execConfig(c, order.Spec)
	if err != nil {
		return nil, nil, nil, err
	}
	p, err := engine.Exec(in.Containers.RunRoot(), c.ID, cfg, engine.Stdio{Console: order.Spec.TTY})
	return in, c, p, err
}
