package keep

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// stateVariable tells a program that it replaces a keeper, and the descriptor of the state. It is no argument, so that ps(1)
// shows the same command line all the time.
const stateVariable = "_CTR_KEEPER_STATE"

// Execute replaces this process by the program in the open file (execve(2): same PID, same children), which finds the state by
// ReadState. All that the state names stays open. It returns only if that fails; then Continue takes the keeper up here.
func Execute(file int, argv []string, s State) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("execute: %w", err)
	}
	fd, err := unix.MemfdCreate("keeper", 0)
	if err != nil {
		return fmt.Errorf("execute: %w", os.NewSyscallError("memfd_create", err))
	}
	f := os.NewFile(uintptr(fd), "keeper")
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return fmt.Errorf("execute: %w", err)
	}
	for _, fd := range s.descriptors() {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("execute: keep descriptor %d: %w", fd, os.NewSyscallError("fcntl", err))
		}
	}
	if err := os.Setenv(stateVariable, strconv.Itoa(fd)); err != nil {
		return fmt.Errorf("execute: %w", err)
	}
	err = unix.Exec("/proc/self/fd/"+strconv.Itoa(file), argv, os.Environ())
	_ = os.Unsetenv(stateVariable)
	return fmt.Errorf("execute: %w", os.NewSyscallError("execve", err))
}

// Frugal keeps huge pages from this process, and from what it executes and forks from then on, or gives them back. Where the kernel
// hands them out unasked, as Debian's and Fedora's do, the first byte of Go's heap takes one: 2 MiB, twice what a keeper needs. It
// is too late for that once the program runs.
func Frugal(on bool) {
	var disable uintptr
	if on {
		disable = 1
	}
	_ = unix.Prctl(unix.PR_SET_THP_DISABLE, disable, 0, 0, 0) // a kernel that refuses has none
}

// Replaces tells whether this process was a keeper before it became the present program.
func Replaces() bool { return os.Getenv(stateVariable) != "" }

// ReadState reads the state that the process's last program has left. It can be called once.
func ReadState() (State, error) {
	var s State
	fd, err := strconv.Atoi(os.Getenv(stateVariable))
	if err != nil {
		return s, fmt.Errorf("read state: %w", err)
	}
	if err := os.Unsetenv(stateVariable); err != nil { // children are no keepers
		return s, fmt.Errorf("read state: %w", err)
	}
	f := openFD(fd)
	if f == nil {
		return s, fmt.Errorf("read state: no descriptor %d", fd)
	}
	defer f.Close()
	if _, err := f.Seek(0, 0); err != nil {
		return s, fmt.Errorf("read state: %w", err)
	}
	if err := json.NewDecoder(f).Decode(&s); err != nil {
		return s, fmt.Errorf("read state: %w", err)
	}
	for _, fd := range s.descriptors() {
		unix.CloseOnExec(fd)
	}
	return s, nil
}

// descriptors are all that must stay open.
func (s State) descriptors() []int {
	all := append([]int{s.Listener, s.NextFile}, s.Carry...)
	for _, c := range s.Clients {
		all = append(all, c.FD)
	}
	all = append(all, s.Program.Stdin, s.Program.Stdout, s.Program.Stderr, s.Program.Pty)
	if s.Program.Adopted > 0 {
		all = append(all, s.Program.Adopted)
	}
	all = append(all, s.Services.NetNS, s.Services.UDP, s.Services.TCP)
	for _, f := range s.Services.Forwards {
		all = append(all, f.Files...)
	}
	open := all[:0]
	for _, fd := range all {
		if fd >= 0 {
			open = append(open, fd)
		}
	}
	return open
}
