package proc_test

import (
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/internal/proc"
)

// How a process ended is known while its parent has yet to wait for it; whoever waits for the pidfd first takes nothing away.
func TestExitStatus(t *testing.T) {
	for script, want := range map[string]unix.WaitStatus{"exit 7": 7 << 8, "exit 0": 0, "kill -KILL $$": 9} {
		cmd := exec.Command("sh", "-c", "read x; "+script)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		id, err := proc.Of(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		pidfd, err := id.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer pidfd.Close()
		stdin.Close()
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}, -1); err != nil {
			t.Fatal(err)
		}
		if got, known := id.ExitStatus(pidfd); !known || got != want {
			t.Errorf("%s, before its parent has waited: %v, %v", script, got, known)
		}
		_ = cmd.Wait() // it failed on purpose
		info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
		tells := unix.IoctlPidfdInfo(int(pidfd.Fd()), &info) == nil && info.Mask&unix.PIDFD_INFO_EXIT != 0
		if got, known := id.ExitStatus(pidfd); known != tells || known && got != want {
			t.Errorf("%s, afterwards: %v, %v; the kernel knows: %v", script, got, known, tells)
		}
	}
}
