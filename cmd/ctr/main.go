// Command ctr runs containers: see ARCHITECTURE.md.
//
// This package holds flags, printing and exit codes only. Each sub-command is one file: xCommand declares it, runX does it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	_ "ctr/cmd/ctr/internal/early"
	"ctr/cmd/ctr/internal/options"
	"ctr/images"
	"ctr/internal/span"
	"ctr/runtime/engine"
	"ctr/runtime/health"
	"ctr/runtime/lifecycle"
	"ctr/runtime/monitor"
)

// Set by the linker: see the Makefile.
var (
	version = "unknown"
	commit  = "unknown"
)

func main() {
	monitor.Main() // does not return where this process is the monitor of a container
	health.Main()  // nor where it is one of its health checks
	lifecycle.DrainMain()
	lifecycle.DetachedMain()
	ui := &ui{in: os.Stdin, out: &output{file: os.Stdout}, err: os.Stderr}
	args := timed(os.Args, ui)
	monitor.OffFirstThread(func() int {
		code := run(interruptible(), args, ui)
		ui.complain(span.Print(ui.err))
		return code
	})
}

// interruptible is a context that ends with the first SIGINT, SIGTERM or SIGHUP, so that a command can take back what it has
// begun. The second one ends the process.
func interruptible() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		s := <-signals
		signal.Stop(signals)
		if sig, ok := s.(syscall.Signal); ok {
			cancel(&interruptedError{sig})
		}
	}()
	return ctx
}

// interruptedError is why a command ended early.
type interruptedError struct{ signal syscall.Signal }

func (e *interruptedError) Error() string { return "interrupted: " + e.signal.String() }

// Is makes it an error of a context that was cancelled.
func (e *interruptedError) Is(target error) bool { return target == context.Canceled }

// run runs one command line and returns the exit code.
func run(ctx context.Context, args []string, ui *ui) int {
	reading := span.Begin("read command line")
	a := newApp(ui)
	a.reading = reading
	path, err := a.run(ctx, args)
	if err == nil && ui.out.err != nil {
		err = fmt.Errorf("write standard output: %w", ui.out.err)
	}
	var interrupted *interruptedError
	if errors.Is(err, context.Canceled) && errors.As(context.Cause(ctx), &interrupted) {
		return codeSignal + int(interrupted.signal)
	}
	ui.report(path, err)
	return exitCode(path, err)
}

// The exit codes that are ours. Any other is that of the container's program.
const (
	codeFailed  = 1
	codeRefused = 125 // run, create, exec: ctr itself failed; every command: a flag that it does not know, or with an argument that the flag does not take
	codeSignal  = 128 // and the signal's number: what a shell says of a process that a signal ended
)

// exitCode is the one place where errors become exit codes.
func exitCode(path string, err error) int {
	var (
		program *programError
		usage   *usageError
		start   *engine.StartError

		argument *options.ArgumentError
	)
	switch {
	case err == nil:
		return 0
	case errors.As(err, &program):
		return program.code
	case errors.As(err, &usage):
		return usage.code
	case errors.As(err, &argument):
		return codeRefused
	case errors.Is(err, syscall.EPIPE):
		return codeSignal + int(syscall.SIGPIPE)
	case errors.As(err, &start) && runsPrograms(path):
		return start.Code
	case runsPrograms(path):
		return codeRefused
	}
	return codeFailed
}

// runsPrograms tells whether the command's exit code may be that of a program, so that its own failures need another one.
func runsPrograms(path string) bool {
	switch path {
	case "run", "create", "exec":
		return true
	}
	return false
}

// programError carries the exit code of a container's program through the command; there is nothing to say about it.
type programError struct{ code int }

func (e *programError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// ended returns a program's exit code as an error.
func ended(code int) error {
	if code == 0 {
		return nil
	}
	return &programError{code}
}

// usageError is a command line that makes no sense.
type usageError struct {
	text string
	code int
}

func (e *usageError) Error() string { return e.text }

// hintFor returns what the user can do about an error, if there is anything to say.
func hintFor(path string, err error) string {
	var hinted interface{ Hint() string }
	var usage *usageError
	switch {
	case errors.As(err, &hinted):
		return hinted.Hint()
	case errors.As(err, &usage) && path == "":
		return "'ctr --help' lists the commands"
	case errors.As(err, &usage):
		return fmt.Sprintf("'ctr %s --help' shows how to use it", path)
	case errors.Is(err, images.ErrNotFound) && !runsPrograms(path):
		return "'ctr images' lists what is here, 'ctr pull' fetches an image"
	}
	return ""
}
