package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"github.com/rogpeppe/go-internal/testscript"
)

// cmdPty runs a command on a terminal of 24 rows and 80 columns, and holds the conversation in the file, one step a line:
//
//	expect REGEXP      wait until what the command wrote since the last match matches
//	send "TEXT"        type the text, a Go string: "\r" is the return key
//	resize ROWS COLS   change the size of the terminal
//	hangup             close the terminal
//
// After the last step the command must end, with success unless negated. Its output is stdout, without carriage returns.
func cmdPty(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: [!] pty FILE COMMAND...")
	}
	cmd := exec.Command(lookPath(ts, args[1]), args[2:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "CTR_ROOT", "CTR_RUN_ROOT"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	master, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	ts.Check(err)
	defer master.Close()
	s := newSession(master)
	defer func() { fmt.Fprint(ts.Stdout(), s.text()) }()

	for line := range strings.Lines(ts.ReadFile(args[0])) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := s.step(line); err != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			ts.Fatalf("pty: %s: %v; the terminal shows:\n%s", line, err, s.text())
		}
	}
	ended := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	err = cmd.Wait()
	if !ended.Stop() {
		ts.Fatalf("pty: the command did not end; the terminal shows:\n%s", s.text())
	}
	<-s.done
	if (err == nil) == neg {
		ts.Fatalf("pty: the command ended with %v; the terminal shows:\n%s", err, s.text())
	}
}

// lookPath finds a command in the script's PATH.
func lookPath(ts *testscript.TestScript, name string) string {
	for dir := range strings.SplitSeq(ts.Getenv("PATH"), ":") {
		if path, err := exec.LookPath(dir + "/" + name); err == nil {
			return path
		}
	}
	ts.Fatalf("no command %q", name)
	return ""
}

// session is what goes over one terminal.
type session struct {
	master *os.File
	done   chan struct{} // closed when there is no more output

	mu      sync.Mutex
	changed *sync.Cond
	output  bytes.Buffer
	seen    int // how much of output was matched
	ended   bool
}

func newSession(master *os.File) *session {
	s := &session{master: master, done: make(chan struct{})}
	s.changed = sync.NewCond(&s.mu)
	go func() {
		defer close(s.done)
		_, _ = io.Copy(s, master) // ends with EIO when the command and its children have closed the terminal
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended = true
		s.changed.Broadcast()
	}()
	return s
}

// Write takes what the command wrote.
func (s *session) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
	return s.output.Write(p)
}

func (s *session) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.ReplaceAll(s.output.String(), "\r", "")
}

func (s *session) step(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "expect":
		return s.expect(rest)
	case "send":
		text, err := strconv.Unquote(rest)
		if err != nil {
			return fmt.Errorf("%s is no Go string: %w", rest, err)
		}
		_, err = io.WriteString(s.master, text)
		return err
	case "resize":
		var size pty.Winsize
		if _, err := fmt.Sscan(rest, &size.Rows, &size.Cols); err != nil {
			return err
		}
		return pty.Setsize(s.master, &size)
	case "hangup":
		return s.master.Close()
	}
	return errors.New("unknown step")
}

// expect waits for the pattern in what was not matched yet.
func (s *session) expect(pattern string) error {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	late := false
	timer := time.AfterFunc(patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		late = true
		s.changed.Broadcast()
	})
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if at := re.FindIndex(s.output.Bytes()[s.seen:]); at != nil {
			s.seen += at[1]
			return nil
		}
		if s.ended {
			return io.ErrUnexpectedEOF
		}
		if late {
			return syscall.ETIMEDOUT
		}
		s.changed.Wait()
	}
}
