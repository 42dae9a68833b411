package proc_test

import (
	"bufio"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/internal/proc"
	"ctr/internal/testhost"
)

// A process goes on when its first thread has ended and others have not.
func TestFirstThreadEnds(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), testhost.EnvLeaderless+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatalf("%q: %v", line, err)
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
	if err := id.Signal(unix.SIGCONT); err != nil || !id.Alive() {
		t.Errorf("alive %v, signal: %v", id.Alive(), err)
	}
	if got, leaderless := proc.Leaderless(id.PID); !leaderless || got != id {
		t.Errorf("leaderless: %v, %v", got, leaderless)
	}
	if got, leaderless := proc.Leaderless(os.Getpid()); leaderless || got != proc.Self() {
		t.Errorf("the test itself is leaderless: %v, %v", got, leaderless)
	}
	stdin.Close()
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}, -1); err != nil {
		t.Fatal(err)
	}
	if id.Alive() {
		t.Error("alive when all its threads have ended")
	}
	if status, known := id.ExitStatus(pidfd); !known || status.ExitStatus() != testhost.LeaderlessCode {
		t.Errorf("exit status %v, known %v", status, known)
	}
	_ = cmd.Wait() // it failed on purpose
}
