package testhost

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// EnvLeaderless has a test binary be a process whose first thread ends, and which goes on until its input ends. It says so when it
// is one, and exits with LeaderlessCode.
const (
	EnvLeaderless  = "CTR_TEST_LEADERLESS"
	LeaderlessCode = 7
)

func init() {
	if os.Getenv(EnvLeaderless) == "" {
		return
	}
	go func() {
		for !firstThreadEnded() {
			runtime.Gosched()
		}
		fmt.Println("the first thread has ended")
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(LeaderlessCode)
	}()
	// Package initialization runs on the first thread. This ends the thread; exit_group(2) is for the process.
	_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0)
}

func firstThreadEnded() bool {
	status, err := os.ReadFile("/proc/self/status")
	return err == nil && strings.Contains(string(status), "State:\tZ")
}
