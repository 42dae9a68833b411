package testhost

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Census is what there is in a host, by kind: everything that a container or a network could leave behind. Each thing is one
// line, which says the same for the same thing however often it is made again.
type Census map[string][]string

// Census counts what there is in the host now.
func (h *Host) Census() (Census, error) {
	c := Census{}
	for kind, count := range map[string]func() ([]string, error){
		"link":    links,
		"netns":   netnsNames,
		"rule":    rules,
		"mount":   mounts,
		"cgroup":  h.cgroups,
		"process": processes,
		"state":   h.state,
	} {
		found, err := count()
		if err != nil {
			return nil, fmt.Errorf("count %s: %w", kind, err)
		}
		slices.Sort(found)
		c[kind] = found
	}
	return c, nil
}

// Diff returns what was added and what is missing since the earlier census, one line each, empty if nothing changed.
func (c Census) Diff(earlier Census) string {
	var b strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(c)) {
		for _, line := range subtract(c[kind], earlier[kind]) {
			fmt.Fprintf(&b, "+ %s %s\n", kind, line)
		}
		for _, line := range subtract(earlier[kind], c[kind]) {
			fmt.Fprintf(&b, "- %s %s\n", kind, line)
		}
	}
	return b.String()
}

// subtract returns the lines of a that are not in b, counting lines that occur more than once.
func subtract(a, b []string) []string {
	rest := slices.Clone(b)
	var left []string
	for _, line := range a {
		if i := slices.Index(rest, line); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
		} else {
			left = append(left, line)
		}
	}
	return left
}

func links() ([]string, error) {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer nl.Close()
	all, err := nl.LinkList()
	for errors.Is(err, netlink.ErrDumpInterrupted) { // a namespace that ends takes its links along in its own time
		all, err = nl.LinkList()
	}
	if err != nil {
		return nil, err
	}
	var found []string
	for _, l := range all {
		found = append(found, fmt.Sprintf("%s %s %q", l.Type(), l.Attrs().Name, l.Attrs().Alias))
	}
	return found, nil
}

func netnsNames() ([]string, error) {
	entries, err := os.ReadDir("/run/netns")
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var found []string
	for _, e := range entries {
		found = append(found, e.Name())
	}
	return found, err
}

// rules lists the ruleset without its counters, each line behind the table and the chain or set that it stands in.
func rules() ([]string, error) {
	out, err := exec.Command("nft", "--stateless", "list", "ruleset").Output()
	if err != nil {
		return nil, err
	}
	var found, within []string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "}":
			within = within[:len(within)-1]
		case strings.HasSuffix(line, "{"):
			within = append(within, strings.TrimSuffix(line, " {"))
			found = append(found, strings.Join(within, ": "))
		case line != "":
			found = append(found, strings.Join(within, ": ")+": "+line)
		}
	}
	return found, nil
}

// mounts lists the mount table of the host by mount point and type (proc_pid_mountinfo(5)).
func mounts() ([]string, error) {
	table, err := os.ReadFile("/proc/1/mountinfo")
	if err != nil {
		return nil, err
	}
	var found []string
	for line := range strings.Lines(string(table)) {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if !ok || len(fields) < 5 {
			return nil, fmt.Errorf("malformed mountinfo line %q", line)
		}
		fstype, _, _ := strings.Cut(after, " ")
		found = append(found, fields[4]+" "+fstype)
	}
	return found, nil
}

// processes lists the host's processes but for PID 1, our own, and those that have ended and wait to be reaped. Monitors are
// listed without their arguments, which change when a monitor replaces itself by the small program that keeps a container.
func processes() ([]string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == 1 || pid == os.Getpid() {
			continue
		}
		cmdline, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err != nil || len(cmdline) == 0 { // gone, or a zombie
			continue
		}
		argv := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
		if argv[0] == "ctr-monitor" {
			argv = argv[:1]
		}
		found = append(found, strings.Join(argv, " "))
	}
	return found, nil
}

// state lists the records of containers, networks and names, and all that is in the run root.
func (h *Host) state() ([]string, error) {
	var found []string
	for _, top := range []string{
		filepath.Join(h.Root, "containers"), filepath.Join(h.Root, "networks"), filepath.Join(h.Root, "names"), h.RunRoot,
	} {
		err := filepath.WalkDir(top, func(path string, _ fs.DirEntry, err error) error {
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			// The journal of events grows a second file in time, which is bounded as well.
			if err == nil && path != filepath.Join(h.RunRoot, "events", "previous") {
				found = append(found, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}
