package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/term"

	"ctr/runtime/attach"
	"ctr/runtime/container"
)

// ui is whom a command talks to. What it prints as a result goes to out, and everything else to err, so that a script can
// use the one and a person reads the other.
type ui struct {
	in  *os.File
	out *output
	err *os.File
}

// output is standard output. It keeps the first error: a command that could not print its result has failed, on a full disk
// above all. (A pipe that nobody reads any more ends the process by SIGPIPE, as it does for other tools.)
type output struct {
	file *os.File
	err  error
}

// Write writes, and remembers the first error.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.file.Write(p)
	if err != nil && o.err == nil {
		o.err = err
		if path, ok := errors.AsType[*os.PathError](err); ok {
			o.err = path.Err
		}
	}
	return n, err
}

// printf prints a result.
func (u *ui) printf(format string, args ...any) { fmt.Fprintf(u.out, format, args...) }

// println prints one line of a result.
func (u *ui) println(s string) { u.printf("%s\n", s) }

// notice tells the user something.
func (u *ui) notice(s string) { fmt.Fprintln(u.err, s) }

// unknown tells the user that the exit code of a container is none, and why.
func (u *ui) unknown(c *container.Container, r attach.Result) {
	if r.Unknown != "" {
		u.notice("ctr: container " + c.Name + ": " + r.Unknown)
	}
}

// warn tells the user that something is not as they may think.
func (u *ui) warn(lines ...string) {
	for _, s := range lines {
		fmt.Fprintln(u.err, "WARNING: "+s)
	}
}

// report prints an error, each of several on a line of its own, and a hint.
func (u *ui) report(path string, err error) {
	var program *programError
	// Who closed the pipe does not want to hear of it.
	if err == nil || errors.As(err, &program) || errors.Is(err, syscall.EPIPE) {
		return
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(u.err, "ctr: %s\n", strings.TrimRight(line, "\n"))
	}
	if hint := hintFor(path, err); hint != "" {
		fmt.Fprintf(u.err, "hint: %s\n", hint)
	}
}

// complain tells of what went wrong beside the command itself.
func (u *ui) complain(err error) {
	if err != nil {
		u.warn(err.Error())
	}
}

// stdinIsTerminal tells whether somebody types.
func (u *ui) stdinIsTerminal() bool { return u.in != nil && term.IsTerminal(int(u.in.Fd())) }

// stdoutIsTerminal tells whether somebody looks.
func (u *ui) stdoutIsTerminal() bool { return term.IsTerminal(int(u.out.file.Fd())) }

// confirm asks a question that is answered by y or yes. Without an answer it is no.
func (u *ui) confirm(question string) bool {
	fmt.Fprintf(u.err, "%s [y/N] ", question)
	line, err := bufio.NewReader(io.LimitReader(u.in, 100)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	line = strings.ToLower(strings.TrimSpace(line))
	return line == "y" || line == "yes"
}
