package proc

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// exitPatience is how long the parent of a process that has ended may take to note it.
	exitPatience = time.Second
	exitPoll     = 2 * time.Millisecond
)

// ExitStatus tells how a process has ended that is no child of the caller and that the pidfd, which was opened while it ran,
// names. Until its parent has taken note, /proc/PID/stat has it (proc_pid_stat(5), field 52); afterwards the pidfd does, since
// Linux 6.15 (PIDFD_INFO_EXIT). On older kernels the parent may be faster, and nobody knows any more.
func (id ID) ExitStatus(pidfd *os.File) (status unix.WaitStatus, known bool) {
	for end := time.Now().Add(exitPatience); ; time.Sleep(exitPoll) { //nolint:forbidigo // The parent tells nobody.
		if status, ok := id.zombieStatus(); ok {
			return status, true
		}
		_, gone := os.Stat("/proc/" + strconv.Itoa(id.PID)) // before the look at what is known from then on
		info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
		err := unix.IoctlPidfdInfo(int(pidfd.Fd()), &info)
		if err == nil && info.Mask&unix.PIDFD_INFO_EXIT != 0 {
			return unix.WaitStatus(info.Exit_code), true
		}
		if gone != nil || time.Now().After(end) {
			return 0, false
		}
	}
}

// zombieStatus reads how a process ended whose parent has not taken note.
func (id ID) zombieStatus() (unix.WaitStatus, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(id.PID) + "/stat")
	if err != nil {
		return 0, false
	}
	s, err := parseStat(text)
	if err != nil || !s.ended || s.start != id.Start {
		return 0, false
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 50 {
		return 0, false
	}
	status, err := strconv.ParseUint(string(fields[49]), 10, 32)
	return unix.WaitStatus(status), err == nil
}
