// Package proc names processes so that a name never outlives its process.
//
// A PID alone is reused by the kernel; a PID with the start time of its process is not (proc(5), /proc/PID/stat field 22).
// Every PID that ctr writes to disk is such a pair. The package owns nothing on disk and reads only the kernel's files.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrGone is returned when the process that an ID names has ended, also when it is a zombie that nobody has reaped yet. One whose
// first thread has ended before others goes on: a program may do that for good, and one that executes another does for a moment.
var ErrGone = errors.New("process has ended")

// ID is one process: its PID in the PID namespace of the caller, and its start time in clock ticks since boot.
// The zero ID names no process and is never alive.
type ID struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
}

// Self returns the ID of the calling process.
func Self() ID {
	id, err := Of(os.Getpid())
	if err != nil {
		panic("impossible: the calling process has no /proc/self/stat: " + err.Error())
	}
	return id
}

// Of returns the ID of the process that has the PID now. It returns ErrGone if there is none, or only a zombie.
func Of(pid int) (ID, error) {
	id, _, err := look(pid)
	return id, err
}

// Leaderless tells whether the process that has the PID now goes on without its first thread, and returns its ID.
func Leaderless(pid int) (ID, bool) {
	id, s, err := look(pid)
	return id, err == nil && s.zombie
}

// look reads the ID and more of the process that has the PID now.
func look(pid int) (ID, stat, error) {
	if pid <= 0 {
		return ID{}, stat{}, fmt.Errorf("process %d: %w", pid, ErrGone)
	}
	var line [1024]byte // some 50 numbers, and a name of 64 bytes at most
	text, err := readStat(pid, line[:])
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			return ID{}, stat{}, fmt.Errorf("process %d: %w", pid, ErrGone)
		}
		return ID{}, stat{}, fmt.Errorf("read process %d: %w", pid, err)
	}
	s, err := parseStat(text)
	if err != nil {
		return ID{}, s, fmt.Errorf("process %d: %w", pid, err)
	}
	if s.ended {
		return ID{}, s, fmt.Errorf("process %d: %w", pid, ErrGone)
	}
	return ID{PID: pid, Start: s.start}, s, nil
}

// readStat reads /proc/PID/stat into the buffer.
func readStat(pid int, line []byte) ([]byte, error) {
	return ReadLine("/proc/"+strconv.Itoa(pid)+"/stat", line)
}

// ReadLine reads a short file of the kernel's (procfs, cgroupfs) into the buffer with one read(2), and returns the part of it that
// was filled. It does without os.File, which asks the poller about each file, in vain: six system calls more, of which `ps` would
// pay thousands.
func ReadLine(path string, line []byte) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open", err)
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Read(fd, line)
		if !errors.Is(err, unix.EINTR) {
			return line[:max(n, 0)], os.NewSyscallError("read", err)
		}
	}
}

// stat is what /proc/PID/stat tells of a process.
type stat struct {
	zombie bool // its first thread has ended
	ended  bool // all its threads have
	start  uint64
}

// parseStat takes it from the text: the state of the first thread (field 3), which is a zombie until the others have ended too,
// the number of threads, itself among them (field 20), the start time (field 22). The command name (field 2) may hold anything,
// parentheses and newlines too: fields are counted after the last ')'.
func parseStat(text []byte) (s stat, err error) {
	i := bytes.LastIndexByte(text, ')')
	if i < 0 {
		return s, errors.New("malformed /proc/PID/stat: no command name")
	}
	fields := bytes.Fields(text[i+1:])
	if len(fields) < 20 || len(fields[0]) != 1 {
		return s, errors.New("malformed /proc/PID/stat: too few fields")
	}
	threads, err := strconv.Atoi(string(fields[17]))
	if err != nil {
		return s, fmt.Errorf("malformed /proc/PID/stat: number of threads: %w", err)
	}
	if s.start, err = strconv.ParseUint(string(fields[19]), 10, 64); err != nil {
		return s, fmt.Errorf("malformed /proc/PID/stat: start time: %w", err)
	}
	state := fields[0][0]
	s.zombie = state == 'Z'
	s.ended = state == 'X' || s.zombie && threads <= 1
	return s, nil
}

// Alive tells whether the process still runs. A zombie does not.
func (id ID) Alive() bool {
	now, err := Of(id.PID)
	return err == nil && now == id
}

// Open returns a pidfd (pidfd_open(2)) that names the process for as long as it is open; poll(2) reports it readable when
// the process ends. The caller closes it. It returns ErrGone if the process has ended.
func (id ID) Open() (*os.File, error) {
	if id.PID <= 0 {
		return nil, fmt.Errorf("process %d: %w", id.PID, ErrGone)
	}
	fd, err := unix.PidfdOpen(id.PID, 0)
	if err != nil {
		if errors.Is(err, unix.ESRCH) {
			return nil, fmt.Errorf("process %d: %w", id.PID, ErrGone)
		}
		return nil, fmt.Errorf("open process %d: %w", id.PID, os.NewSyscallError("pidfd_open", err))
	}
	f := os.NewFile(uintptr(fd), "pidfd:"+strconv.Itoa(id.PID))
	// Only now is it certain that the PID cannot be reused: check that it was not before.
	if !id.Alive() {
		f.Close()
		return nil, fmt.Errorf("process %d: %w", id.PID, ErrGone)
	}
	return f, nil
}

// Signal sends the signal to exactly this process, never to one that got its PID later. It returns ErrGone if the process
// has ended.
func (id ID) Signal(sig unix.Signal) error {
	f, err := id.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.PidfdSendSignal(int(f.Fd()), sig, nil, 0); err != nil {
		if errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("process %d: %w", id.PID, ErrGone)
		}
		return fmt.Errorf("signal process %d: %w", id.PID, os.NewSyscallError("pidfd_send_signal", err))
	}
	return nil
}

// ticks is how many of the units of a start time are a second, on every architecture that Go knows (USER_HZ).
const ticks = 100

// Age tells how long ago the process started, whether it goes on or not, by the clock that nobody sets.
func (id ID) Age() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		panic("impossible: no clock counts the time since boot: " + err.Error())
	}
	return time.Duration(now.Nano()) - time.Duration(id.Start)*(time.Second/ticks)
}

// String returns the ID as "PID:START", which Parse reads.
func (id ID) String() string {
	return strconv.Itoa(id.PID) + ":" + strconv.FormatUint(id.Start, 10)
}

// Parse reads what String wrote.
func Parse(s string) (ID, error) {
	p, t, ok := strings.Cut(s, ":")
	pid, err1 := strconv.Atoi(p)
	start, err2 := strconv.ParseUint(t, 10, 64)
	if !ok || err1 != nil || err2 != nil || pid <= 0 {
		return ID{}, fmt.Errorf("malformed process %q: want PID:START", s)
	}
	return ID{PID: pid, Start: start}, nil
}
