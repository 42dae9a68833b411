package processes

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Column is one column of a list.
type Column struct {
	Head  string
	value func(l *look, p *process) string
}

// formats are the columns that `ps -o` takes, by ps's own names.
var formats = map[string]Column{
	"user":    {"USER", func(l *look, p *process) string { return l.user(p.uid) }},
	"uid":     {"UID", func(_ *look, p *process) string { return strconv.Itoa(p.uid) }},
	"pid":     {"PID", func(_ *look, p *process) string { return strconv.Itoa(p.pid) }},
	"ppid":    {"PPID", func(_ *look, p *process) string { return strconv.Itoa(p.ppid) }},
	"pgid":    {"PGID", func(_ *look, p *process) string { return strconv.Itoa(p.pgid) }},
	"sid":     {"SID", func(_ *look, p *process) string { return strconv.Itoa(p.sid) }},
	"c":       {"C", func(l *look, p *process) string { return strconv.Itoa(int(l.cpu(p))) }},
	"%cpu":    {"%CPU", func(l *look, p *process) string { return fmt.Sprintf("%.1f", l.cpu(p)) }},
	"%mem":    {"%MEM", func(l *look, p *process) string { return fmt.Sprintf("%.1f", l.mem(p)) }},
	"vsz":     {"VSZ", func(_ *look, p *process) string { return strconv.FormatInt(p.vsz>>10, 10) }},
	"rss":     {"RSS", func(_ *look, p *process) string { return strconv.FormatInt(p.rss>>10, 10) }},
	"tty":     {"TTY", func(_ *look, p *process) string { return p.tty() }},
	"stat":    {"STAT", func(_ *look, p *process) string { return p.stat() }},
	"s":       {"S", func(_ *look, p *process) string { return string(p.state) }},
	"stime":   {"STIME", func(l *look, p *process) string { return l.stime(p) }},
	"start":   {"STARTED", func(l *look, p *process) string { return l.started(p).Format(time.TimeOnly) }},
	"lstart":  {"STARTED", func(l *look, p *process) string { return l.started(p).Format(time.ANSIC) }},
	"time":    {"TIME", func(_ *look, p *process) string { return clock(p.used) }},
	"bsdtime": {"TIME", func(_ *look, p *process) string { return minutes(p.used) }},
	"etime":   {"ELAPSED", func(l *look, p *process) string { return elapsed(l.now.Sub(l.started(p))) }},
	"etimes":  {"ELAPSED", func(l *look, p *process) string { return strconv.Itoa(int(l.now.Sub(l.started(p)).Seconds())) }},
	"ni":      {"NI", func(_ *look, p *process) string { return strconv.Itoa(p.nice) }},
	"pri":     {"PRI", func(_ *look, p *process) string { return strconv.Itoa(39 - p.priority) }},
	"nlwp":    {"NLWP", func(_ *look, p *process) string { return strconv.Itoa(p.threads) }},
	"comm":    {"COMMAND", func(_ *look, p *process) string { return p.comm }},
	"args":    {"COMMAND", func(_ *look, p *process) string { return p.args }},
	"cmd":     {"CMD", func(_ *look, p *process) string { return p.args }},
	"command": {"COMMAND", func(_ *look, p *process) string { return p.args }},
}

// otherNames are further names of columns.
var otherNames = map[string]string{
	"uname": "user", "euser": "user", "ruser": "user", "euid": "uid", "ruid": "uid", "pgrp": "pgid", "sess": "sid", "session": "sid",
	"pcpu": "%cpu", "cp": "c", "pmem": "%mem", "vsize": "vsz", "rsz": "rss", "rssize": "rss", "tt": "tty", "tname": "tty",
	"state": "s", "start_time": "stime", "bsdstart": "stime", "cputime": "time", "nice": "ni", "thcount": "nlwp",
	"ucmd": "comm", "ucomm": "comm",
}

// The lists that ps shows without -o.
var (
	full     = []Column{headed("user", "UID"), formats["pid"], formats["ppid"], formats["c"], formats["stime"], formats["tty"], formats["time"], formats["cmd"]}
	bsdUser  = []Column{formats["user"], formats["pid"], formats["%cpu"], formats["%mem"], formats["vsz"], formats["rss"], formats["tty"], formats["stat"], headed("stime", "START"), formats["bsdtime"], formats["args"]}
	plain    = []Column{formats["pid"], formats["tty"], formats["time"], headed("comm", "CMD")}
	bsdPlain = []Column{formats["pid"], formats["tty"], formats["stat"], formats["bsdtime"], formats["args"]}
)

func headed(name, head string) Column { return Column{head, formats[name].value} }

// Columns reads the arguments of ps(1), as far as they say what to show; none is -ef. Which processes are shown is not
// theirs to say: those that would choose (-e, -A, a, x) change nothing.
func Columns(args []string) ([]Column, error) {
	args = slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return arg == "" })
	if len(args) == 0 {
		return full, nil
	}
	shown := plain
	var chosen []Column
	for i := 0; i < len(args); i++ {
		letters, dashed := strings.CutPrefix(args[i], "-")
		if rest, ok := strings.CutPrefix(args[i], "--format"); ok {
			letters, dashed = "o"+strings.TrimPrefix(rest, "="), true
		}
		if !dashed {
			shown = bsdPlain
		}
		for j, r := range letters {
			switch r {
			case 'e', 'A', 'a', 'x', 'd', 'w', 'H':
			case 'f', 'F':
				shown = full
			case 'u':
				shown = bsdUser
			case 'o', 'O':
				list := letters[j+1:]
				if list == "" {
					if i++; i == len(args) {
						return nil, fmt.Errorf("ps option %q needs a list of columns", args[i-1])
					}
					list = args[i]
				}
				more, err := columns(list)
				if err != nil {
					return nil, err
				}
				chosen = append(chosen, more...)
			default:
				return nil, fmt.Errorf("ps option %q is not supported: use -e, -f, aux, or -o with a list of columns", args[i])
			}
			if r == 'o' || r == 'O' {
				break
			}
		}
	}
	if chosen != nil {
		return chosen, nil
	}
	return shown, nil
}

// columns reads a list of -o: NAME[=HEADING],...
func columns(list string) ([]Column, error) {
	var all []Column
	for part := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		name, head, renamed := strings.Cut(part, "=")
		name = strings.ToLower(name)
		if other, ok := otherNames[name]; ok {
			name = other
		}
		c, ok := formats[name]
		if !ok {
			return nil, fmt.Errorf("unknown ps column %q: want one of %s", part, strings.Join(names(), " "))
		}
		if renamed {
			c.Head = head
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no column in %q", list)
	}
	return all, nil
}

func names() []string {
	var all []string
	for name := range formats {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// clock is [DD-]HH:MM:SS.
func clock(d time.Duration) string {
	s := int(d.Seconds())
	text := fmt.Sprintf("%02d:%02d:%02d", s/3600%24, s/60%60, s%60)
	if days := s / 86400; days > 0 {
		return fmt.Sprintf("%d-%s", days, text)
	}
	return text
}

// minutes is M:SS.
func minutes(d time.Duration) string {
	s := int(d.Seconds())
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// elapsed is [[DD-]HH:]MM:SS.
func elapsed(d time.Duration) string { return strings.TrimPrefix(clock(max(d, 0)), "00:") }
