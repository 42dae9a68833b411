// The keeper is the small program that keeps a container after its first moments, in the place of the monitor that started it:
// the same process, after execve(2). It is package keep and nothing else, so an idle container costs about 1 MiB. When the
// program ends, it executes ctr again, which takes everything down.
//
// It is built by `make`, embedded in ctr, and never started by hand.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"ctr/runtime/keep"
)

// The first thread stays main's: see package monitor.
func init() { runtime.LockOSThread() }

func main() {
	// What ps(1) shows: execve(2) by descriptor leaves the descriptor's number as the name.
	name := [...]byte{'c', 't', 'r', '-', 'm', 'o', 'n', 'i', 't', 'o', 'r', 0}
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name)), 0, 0, 0)
	// As the monitor: signals are meant for others.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGTERM, syscall.SIGQUIT,
		syscall.SIGUSR1, syscall.SIGUSR2)
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "keeper:", err)
		os.Exit(1)
	}
}

func run() error {
	state, err := keep.ReadState()
	if err != nil {
		return err
	}
	k, p, err := keep.Resume(state)
	if err != nil {
		return err
	}
	s := &self{k: k, state: state}
	go s.stayIdle()
	if err := p.Wait(); err != nil {
		return err
	}
	return s.handOver()
}
