// Package netns opens, makes and enters network namespaces.
//
// It is the only package below network that locks a goroutine to its thread (runtime.LockOSThread). It owns no path: who
// gives a namespace a name in the file system does so itself. It imports nothing but the standard library and x/sys, since
// the small keeper of a running container links it too.
package netns

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Handle is an open network namespace. The kernel keeps the namespace while a handle is open.
type Handle struct {
	f *os.File
}

// prepared is what Prepare makes, for the next New.
var prepared atomic.Pointer[chan made]

type made struct {
	h   *Handle
	err error
}

// Prepare makes a namespace for the next New of this process, beside the caller: a process that waits to be told what to do has
// the better part of a millisecond for it.
func Prepare() {
	c := make(chan made, 1)
	prepared.Store(&c)
	go func() {
		h, err := makeNew()
		c <- made{h, err}
	}()
}

// Drop takes back what Prepare makes, if New has not taken it.
func Drop() {
	if c := prepared.Swap(nil); c != nil {
		if m := <-*c; m.err == nil {
			m.h.Close()
		}
	}
}

// New makes a network namespace that holds nothing but a loopback device, which is down. The caller closes the handle.
// The calling goroutine stays where it is.
func New() (*Handle, error) {
	if c := prepared.Swap(nil); c != nil {
		m := <-*c
		return m.h, m.err
	}
	return makeNew()
}

func makeNew() (*Handle, error) {
	var h *Handle
	err := onOwnThread(func() error {
		// The thread is thrown away afterwards: it never returns to the namespace that it came from.
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		var err error
		h, err = Current()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make network namespace: %w", err)
	}
	return h, nil
}

// Current opens the network namespace of the calling thread. The caller closes the handle.
func Current() (*Handle, error) {
	return Open("/proc/thread-self/ns/net")
}

// Open opens the network namespace at a path: /proc/PID/ns/net, or a file that one is mounted on. It returns an error if the
// file is none (setns would tell only later). The caller closes the handle.
func Open(path string) (*Handle, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	kind, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE)
	if err != nil || kind != unix.CLONE_NEWNET {
		f.Close()
		return nil, fmt.Errorf("open network namespace: %q is none", path)
	}
	return &Handle{f: f}, nil
}

// Clone opens the namespace once more. The caller closes the new handle.
func (h *Handle) Clone() (*Handle, error) { return Open(h.Path()) }

// FromFile makes a handle of an open file. The handle owns the file from then on.
func FromFile(f *os.File) *Handle { return &Handle{f: f} }

// File returns the open file; it stays the handle's.
func (h *Handle) File() *os.File { return h.f }

// Fd returns the file descriptor, valid while the handle is open.
func (h *Handle) Fd() int { return int(h.f.Fd()) }

// Path returns a path that leads to the namespace for every process that may look at this one's /proc, while the handle is
// open.
func (h *Handle) Path() string {
	return "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(h.Fd())
}

// Do runs f on a thread that is in the namespace, and waits for it. What f opens there (sockets above all) stays in the
// namespace; goroutines that f starts do not run in it. The caller's own thread does not change namespace.
func (h *Handle) Do(f func() error) error {
	return onOwnThread(func() error {
		if err := unix.Setns(h.Fd(), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", os.NewSyscallError("setns", err))
		}
		return f()
	})
}

// Close closes the handle. The kernel takes the namespace down, with all that is in it, when nobody else holds it.
func (h *Handle) Close() error { return h.f.Close() }

// onOwnThread runs f on a fresh goroutine whose thread ends with it, so that whatever f did to its thread is gone. It is never
// the main thread of the process: the Go runtime cannot end that one but parks it for ever, in the namespace that it has
// entered, which would live as long as the process.
func onOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread stays locked to this goroutine meanwhile, so that the next one cannot get it.
			defer runtime.UnlockOSThread()
			done <- onOwnThread(f)
			return
		}
		done <- f() // never unlocked: the thread ends with this goroutine
	}()
	err, returned := <-done
	if !returned {
		runtime.Goexit() // f did, as a test that fails does
	}
	return err
}
