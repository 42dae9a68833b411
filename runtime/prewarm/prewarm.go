// Package prewarm spares a start most of a wait in the kernel, by taking a lock of the kernel's before the start needs it.
//
// It depends on the standard library alone, so that it can be called while the other packages are being initialised. It owns
// nothing, and changes nothing: it moves the calling process to the cgroup that it is in.
package prewarm

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Start spares the start that follows most of a wait in the kernel. To move a process into a cgroup takes the writer's side of
// a lock that all forks share (cgroup_threadgroup_rwsem, a percpu_rw_semaphore), and the first to take it waits for an RCU grace
// period: 10 ms, a third of a start. Those who come while the lock is still warm, for some 10 ms, wait for nothing. So this
// process moves itself to where it is already, which changes nothing: once, and then again until stop is called or the time is up.
// Forks go on meanwhile: the lock blocks them only once the grace period is over, for the microseconds of the write.
//
// It returns at once; first, if there is one, is called before, beside the caller. Where nothing waits (favordynmods), or /sys is
// not ours to write, it costs a few system calls.
func Start(limit time.Duration, first func()) (stop func()) {
	var done atomic.Bool
	go func() {
		if first != nil {
			first()
		}
		own, err := os.OpenFile(ownCgroup(), os.O_WRONLY, 0)
		if err != nil {
			return
		}
		defer own.Close()
		for end := time.Now().Add(limit); !done.Load() && moveTo(own) == nil && time.Now().Before(end); {
			<-time.After(warm)
		}
	}()
	return func() { done.Store(true) }
}

// moveTo moves this process into the cgroup of an open cgroup.procs.
func moveTo(procs *os.File) error {
	_, err := procs.WriteString(strconv.Itoa(os.Getpid()))
	return err
}

// warm is how long the lock stays warm, with a margin.
const warm = 8 * time.Millisecond

// ownCgroup returns the cgroup.procs of the process's own cgroup, in any hierarchy: the lock is one for all. Empty: not found.
func ownCgroup() string {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		// 7:pids:/path of version 1, 0::/path of version 2 (cgroups(7)).
		_, line, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controller, path, _ := strings.Cut(line, ":")
		if controller != "pids" && controller != "" {
			continue
		}
		file := filepath.Join("/sys/fs/cgroup", controller, path, "cgroup.procs")
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	return ""
}
