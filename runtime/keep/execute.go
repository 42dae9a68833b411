package keep

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Execute replaces this process by the program in the open file (execve(2): same PID, same children), which finds the state by
// ReadState. All that the state names stays open. It returns only if that fails; then Resume takes the keeper up here.
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
	argv = append(argv[:len(argv):len(argv)], strconv.Itoa(fd))
	err = unix.Exec("/proc/self/fd/"+strconv.Itoa(file), argv, os.Environ())
	return fmt.Errorf("execute: %w", os.NewSyscallError("execve", err))
}

// ReadState reads the state from its descriptor, the last argument of the process.
func ReadState(argument string) (State, error) {
	var s State
	fd, err := strconv.Atoi(argument)
	if err != nil {
		return s, fmt.Errorf("read state: %w", err)
	}
	f := openFD(fd)
	if f == nil {
		return s, fmt.Errorf("read state: no descriptor %q", argument)
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
