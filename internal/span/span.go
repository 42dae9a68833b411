// Package span notes where the time of a command goes: named stretches of time, of all the processes that take part, on one
// clock. It is off unless the command line asks for it (`ctr --timing run ...`), and then costs one atomic load a span.
//
// The processes share an unnamed file (memfd_create(2)), whose descriptor goes from the one to the next, and append a line for
// each span that ended. What happens after the answer, such as the takedown, is there as well, for as long as whoever reads the
// table waits for it. The package owns nothing but that file.
package span

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// sink is where spans go; nil: nowhere.
var sink atomic.Pointer[os.File]

// Span is a stretch of time that has begun. The zero Span is one that nobody asked for.
type Span struct {
	name  string
	begun time.Duration
}

// Open begins the noting. The caller is the one that prints the table.
func Open() error {
	fd, err := unix.MemfdCreate("spans", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("note spans: %w", os.NewSyscallError("memfd_create", err))
	}
	Join(os.NewFile(uintptr(fd), "spans"))
	return nil
}

// Join notes the spans of this process in the file of another's.
func Join(f *os.File) { sink.Store(f) }

// File is what another process is to Join; nil while spans are off. All share its offset, so that nobody overwrites another's
// lines (write(2): the offset of a regular file is moved atomically).
func File() *os.File { return sink.Load() }

// Begin begins a span, to be ended by End. The name has no spaces at its ends and no newline.
func Begin(name string) Span {
	if sink.Load() == nil {
		return Span{}
	}
	return Span{name, now()}
}

// End ends a span.
func (s Span) End() {
	f := sink.Load()
	if f == nil || s.name == "" {
		return
	}
	line := fmt.Sprintf("%d %d %d %s\n", os.Getpid(), s.begun, now(), s.name)
	_, _ = f.WriteString(line) // a table that lacks a line is better than a start that fails
}

// now reads the clock that does not depend on the process (clock_gettime(2), CLOCK_MONOTONIC).
func now() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // the clock is there
	return time.Duration(t.Nano())
}

// noted is a span that has ended.
type noted struct {
	pid        int
	begun, end time.Duration
	name       string
}

// Print writes the table of all spans so far: when each began, counted from the first, how long it took, and in which process.
func Print(w io.Writer) error {
	f := sink.Load()
	if f == nil {
		return nil
	}
	text, err := os.ReadFile(filepath.Join("/proc/self/fd", strconv.Itoa(int(f.Fd()))))
	if err != nil {
		return fmt.Errorf("read spans: %w", err)
	}
	all := parse(string(text))
	if len(all) == 0 {
		return nil
	}
	fmt.Fprintf(w, "%9s %9s  %7s  %s\n", "BEGAN ms", "TOOK ms", "PID", "SPAN")
	for _, s := range all {
		fmt.Fprintf(w, "%9.2f %9.2f  %7d  %s%s\n", milliseconds(s.begun-all[0].begun), milliseconds(s.end-s.begun), s.pid, s.indent(all), s.name)
	}
	return nil
}

// parse reads the lines that End wrote, and sorts the spans: those that hold others come before them.
func parse(text string) []noted {
	var all []noted
	for line := range strings.Lines(text) {
		var s noted
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(fields) != 4 {
			continue
		}
		pid, err1 := strconv.Atoi(fields[0])
		begun, err2 := strconv.ParseInt(fields[1], 10, 64)
		end, err3 := strconv.ParseInt(fields[2], 10, 64)
		if err1 != nil || err2 != nil || err3 != nil {
			continue
		}
		s.pid, s.begun, s.end, s.name = pid, time.Duration(begun), time.Duration(end), fields[3]
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b noted) int {
		return cmp.Or(cmp.Compare(a.begun, b.begun), cmp.Compare(b.end, a.end))
	})
	return all
}

// indent shows how many spans of the same process hold this one.
func (s noted) indent(all []noted) string {
	depth := 0
	for _, o := range all {
		if o.pid == s.pid && o.begun <= s.begun && o.end >= s.end && o != s {
			depth++
		}
	}
	return strings.Repeat("  ", depth)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
