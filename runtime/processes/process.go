package processes

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// hertz is the unit of times in /proc, which is 100 on every architecture that Go runs on (USER_HZ).
const hertz = 100

// maxArgs is how much of a command line is read, in bytes.
const maxArgs = 64 << 10

// process is what /proc/PID/stat and its neighbours say.
type process struct {
	pid, ppid, pgid, sid, uid int
	state                     byte
	ttyNr                     int
	foreground                int
	used                      time.Duration
	priority, nice, threads   int
	start                     uint64 // after the boot, in hertz
	vsz, rss                  int64  // bytes
	comm, args                string
}

// look is one look at processes.
type look struct {
	now      time.Time
	boot     time.Time
	memTotal int64
	users    map[int]string
}

// List returns a row for each of the processes, in the order given; those that have ended meanwhile are left out.
func List(pids []int, columns []Column) ([][]string, error) {
	l := look{now: time.Now(), users: map[int]string{}}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return nil, os.NewSyscallError("sysinfo", err)
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return nil, os.NewSyscallError("clock_gettime", err)
	}
	l.boot, l.memTotal = l.now.Add(-time.Duration(up.Nano())), int64(info.Totalram)*int64(info.Unit)
	var rows [][]string
	for _, pid := range pids {
		p, err := read(pid)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read process %d: %w", pid, err)
		}
		row := make([]string, len(columns))
		for i, c := range columns {
			row[i] = c.value(&l, p)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func read(pid int) (*process, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return nil, err
	}
	p, err := parseStat(stat)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return nil, err
	}
	p.uid = int(st.Uid)
	if p.args, err = arguments(dir); err != nil {
		return nil, err
	}
	if p.args == "" {
		p.args = "[" + p.comm + "]" // a kernel thread, a zombie
	}
	return p, nil
}

// arguments are a process's command line, on one line and without what would move a terminal's cursor.
func arguments(dir string) (string, error) {
	f, err := os.Open(dir + "/cmdline")
	if err != nil {
		return "", err
	}
	defer f.Close()
	buf := make([]byte, maxArgs)
	n, err := f.Read(buf)
	if n == 0 {
		return "", nil // io.EOF: it has none
	}
	return printable(strings.TrimRight(string(buf[:n]), "\x00")), err
}

// printable puts a space for the ends of arguments, and a question mark for other control characters.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == 0 || r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0:
			return '?'
		}
		return r
	}, s)
}

// parseStat reads /proc/PID/stat. The name (field 2) may hold anything: fields are counted after the last ')'.
func parseStat(stat []byte) (*process, error) {
	open, closing := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 1 || closing < open {
		return nil, errors.New("malformed stat: no command name")
	}
	f := strings.Fields(string(stat[closing+1:])) // f[0] is field 3
	if len(f) < 22 || len(f[0]) != 1 {
		return nil, errors.New("malformed stat: too few fields")
	}
	var bad error
	number := func(field int) int64 {
		n, err := strconv.ParseInt(f[field-3], 10, 64)
		if err != nil {
			bad = fmt.Errorf("malformed stat: field %d: %w", field, err)
		}
		return n
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(stat[:open])))
	if err != nil {
		return nil, fmt.Errorf("malformed stat: %w", err)
	}
	p := &process{
		pid: pid, comm: printable(string(stat[open+1 : closing])), state: f[0][0],
		ppid: int(number(4)), pgid: int(number(5)), sid: int(number(6)), ttyNr: int(number(7)), foreground: int(number(8)),
		used:     time.Duration(number(14)+number(15)) * time.Second / hertz,
		priority: int(number(18)), nice: int(number(19)), threads: int(number(20)), start: uint64(number(22)),
		vsz: number(23), rss: number(24) * int64(os.Getpagesize()),
	}
	return p, bad
}

// tty names the terminal (proc(5), tty_nr; devices.txt of the kernel).
func (p *process) tty() string {
	major, minor := unix.Major(uint64(p.ttyNr)), unix.Minor(uint64(p.ttyNr))
	switch {
	case p.ttyNr == 0:
		return "?"
	case major >= 136 && major <= 143:
		return fmt.Sprintf("pts/%d", (major-136)<<8+minor)
	case major == 4 && minor < 64:
		return fmt.Sprintf("tty%d", minor)
	}
	return fmt.Sprintf("%d:%d", major, minor)
}

// stat is the state with BSD's letters: leader of a session, in the foreground, several threads, nice.
func (p *process) stat() string {
	s := string(p.state)
	switch {
	case p.nice < 0:
		s += "<"
	case p.nice > 0:
		s += "N"
	}
	if p.sid == p.pid {
		s += "s"
	}
	if p.threads > 1 {
		s += "l"
	}
	if p.foreground > 0 && p.foreground == p.pgid {
		s += "+"
	}
	return s
}

func (l *look) started(p *process) time.Time {
	return l.boot.Add(time.Duration(p.start) * time.Second / hertz)
}

// cpu is how much of one CPU the process took in its life, in percent.
func (l *look) cpu(p *process) float64 {
	life := l.now.Sub(l.started(p))
	if life <= 0 {
		return 0
	}
	return 100 * p.used.Seconds() / life.Seconds()
}

func (l *look) mem(p *process) float64 { return 100 * float64(p.rss) / float64(max(l.memTotal, 1)) }

// stime is the time of a start today, else its day.
func (l *look) stime(p *process) string {
	t := l.started(p)
	if l.now.Sub(t) < 24*time.Hour && t.Day() == l.now.Day() {
		return t.Format("15:04")
	}
	if t.Year() == l.now.Year() {
		return t.Format("Jan02")
	}
	return t.Format("2006")
}

func (l *look) user(uid int) string {
	if name, ok := l.users[uid]; ok {
		return name
	}
	name := strconv.Itoa(uid)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	l.users[uid] = name
	return name
}
