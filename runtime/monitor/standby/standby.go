// Package standby starts a monitor's process before anybody knows for which container: while the command that wants it is
// still being initialised itself. What takes a process of this size 4 ms, its way from execve(2) to main, two of them then
// take side by side on two processors, and the start of a container is those 4 ms shorter. Package monitor gives the process
// its order, or never does: it ends when the other side of its connection is closed.
//
// The package depends on the standard library alone, so that it can be used while the other packages are being initialised.
package standby

import (
	"os"
	"strings"
	"sync"
	"syscall"
)

// The command line of the process: Name is argv[0], and shows in ps(1) and in errors about ports in use.
const (
	Name = "ctr-monitor"
	Word = "standby"
	// OwnNetwork is one more word if the container will most likely get a network namespace of its own, to be made ahead.
	OwnNetwork = "own-network"
)

// The descriptors that the process begins with, beside /dev/null for its streams.
const (
	ControlFD = 3 // the connection to the command, of type SOCK_SEQPACKET
	LockFD    = 4 // kept free for the container's lock: its number stays the same for the monitor's whole life
)

// Process is a process that waits for its order.
type Process struct {
	Control int // our side of the connection; the caller closes it
	PID     int // a child, for the caller to reap
}

var (
	mu      sync.Mutex
	waiting *Process
)

// Prepare starts a process ahead, for the next Take, with further words of its command line. If that fails, Take will say why.
func Prepare(words ...string) {
	p, err := start(words...)
	if err != nil {
		return
	}
	mu.Lock()
	defer mu.Unlock()
	waiting = p
}

// Take returns the process that waits, or starts one.
func Take() (*Process, error) {
	mu.Lock()
	p := waiting
	waiting = nil
	mu.Unlock()
	if p != nil {
		return p, nil
	}
	return start()
}

// close_range(2): its number is the same on all architectures.
const (
	sysCloseRange     = 436
	closeRangeCloexec = 1 << 2
)

// room is for the command line that the process shows once it has its order (package monitor).
var room = strings.Repeat(" ", 512)

// startGC is the garbage collector's pace (runtime, GOGC) until the program runs: a start allocates just enough for one
// collection, which would take a millisecond of two processors.
const startGC = "GOGC=800"

// start executes the program anew, in a session of its own and with nothing of the caller's but PATH. It does not go by
// os.StartProcess, whose first use forks another child, to find out whether pidfds work.
func start(words ...string) (*Process, error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	defer syscall.Close(pair[1])
	null, err := syscall.Open(os.DevNull, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		syscall.Close(pair[0])
		return nil, &os.PathError{Op: "open", Path: os.DevNull, Err: err}
	}
	defer syscall.Close(null)
	// What whoever started the command has left open, a pipe or a lock, must not live as long as the container.
	_, _, _ = syscall.RawSyscall(sysCloseRange, 3, ^uintptr(0)>>32, closeRangeCloexec)
	n := uintptr(null)
	pid, err := syscall.ForkExec("/proc/self/exe", append(append([]string{Name, Word}, words...), room), &syscall.ProcAttr{
		Dir:   "/",
		Env:   []string{"PATH=" + os.Getenv("PATH"), startGC},
		Files: []uintptr{n, n, n, ControlFD: uintptr(pair[1]), LockFD: n},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		syscall.Close(pair[0])
		return nil, &os.PathError{Op: "fork/exec", Path: "/proc/self/exe", Err: err}
	}
	return &Process{Control: pair[0], PID: pid}, nil
}
