package engine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"

	"ctr/internal/proc"
	"ctr/internal/span"
	"ctr/runtime/container"
)

// Signal sends a signal to the container's program. It returns container.ErrNotRunning if there is none. SIGKILL ends all of
// the container's processes, paused or not.
func Signal(stateDir, id string, sig unix.Signal) error {
	r, err := readRecord(stateDir, id)
	if err != nil {
		return err
	}
	if !r.Init.Alive() {
		return container.ErrNotRunning
	}
	if sig == unix.SIGKILL {
		return r.kill()
	}
	if err := awaitProgram(r.Init); err != nil {
		return err
	}
	if err := r.Init.Signal(sig); errors.Is(err, proc.ErrGone) {
		return container.ErrNotRunning
	} else if err != nil {
		return fmt.Errorf("signal container: %w", err)
	}
	return nil
}

const (
	initName = "runc:[2:INIT]\n" // libcontainer's name of its init, in /proc/PID/comm
	execTime = 2 * time.Second   // far more than a released init needs
)

// awaitProgram waits until the released init has become the program: a signal that reaches it before is taken by the Go
// runtime (SIGTERM: exit code 2) instead of by the program's own handler. The kernel reports no execve(2) to other
// processes, so the name is polled.
func awaitProgram(init proc.ID) error {
	poll := time.NewTicker(200 * time.Microsecond)
	defer poll.Stop()
	late := time.After(execTime)
	for {
		comm, err := os.ReadFile("/proc/" + strconv.Itoa(init.PID) + "/comm")
		if err != nil || !bytes.Equal(comm, []byte(initName)) {
			return nil
		}
		select {
		case <-poll.C:
		case <-late:
			return errors.New("signal container: its program has not started")
		}
	}
}

// Pause stops all of the container's processes; Resume lets them go on. Both return container.ErrNotRunning if there is no
// program, and do nothing if it is so already.
func Pause(stateDir, id string) error { return freeze(stateDir, id, cgroups.Frozen) }

// Resume is the opposite of Pause.
func Resume(stateDir, id string) error { return freeze(stateDir, id, cgroups.Thawed) }

func freeze(stateDir, id string, state cgroups.FreezerState) error {
	r, err := readRecord(stateDir, id)
	if err != nil {
		return err
	}
	if !r.Init.Alive() {
		return container.ErrNotRunning
	}
	m, err := r.cgroup()
	if err != nil {
		return err
	}
	if err := m.Freeze(state); err != nil {
		return fmt.Errorf("freeze cgroup: %w", err)
	}
	return nil
}

// OOMKilled tells whether the kernel has killed a process of the container for want of memory. It must be asked before
// Destroy.
func OOMKilled(stateDir, id string) (bool, error) {
	defer span.Begin("ask for OOM kills").End()
	r, err := readRecord(stateDir, id)
	if err != nil {
		return false, err
	}
	m, err := r.cgroup()
	if err != nil {
		return false, err
	}
	n, err := m.OOMKillCount()
	if errors.Is(err, os.ErrNotExist) {
		return false, nil // no memory controller
	} else if err != nil {
		return false, fmt.Errorf("read cgroup: %w", err)
	}
	return n > 0, nil
}

// Destroy ends what still runs of a container and removes its cgroups and its state. It goes on past errors, and finds
// "already gone" good. An init that is a child of another process is left for that one to reap.
func Destroy(stateDir, id string) error {
	defer span.Begin("destroy container").End()
	r, err := readRecord(stateDir, id)
	if errors.Is(err, container.ErrNotRunning) {
		return nil
	}
	errs := []error{err}
	if err == nil {
		errs = append(errs, r.kill(), r.removeCgroup())
	}
	root, name := libcontainerDir(stateDir, id)
	errs = append(errs, os.RemoveAll(filepath.Join(root, name)))
	for _, stage := range stages {
		errs = append(errs, removeFolder(filepath.Join(root, stage)))
	}
	if errors.Join(errs...) == nil {
		// Last: it is what the rest is found by.
		errs = append(errs, os.Remove(filepath.Join(root, recordFile)))
	}
	return errors.Join(errs...)
}

// DestroyCgroup ends what still runs in a cgroup and removes it from all hierarchies: for a container whose state has been lost.
func DestroyCgroup(path string) error {
	r := record{Cgroup: path}
	return errors.Join(r.kill(), r.removeCgroup())
}

// removeFolder removes an empty folder, which may be gone.
func removeFolder(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
