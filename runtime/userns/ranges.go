package userns

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"ctr/internal/idmap"
)

// The forms of --userns that ask for a range. "host", or nothing, is no user namespace of one's own.
const (
	auto   = "auto"   // auto[:size=N]
	remap  = "remap:" // remap:NAME
	sizeIs = "size="
)

// Usage is what --userns takes.
const Usage = "host, auto[:size=N], remap:NAME, UID:LENGTH, container:NAME"

const (
	// DefaultSize is what `auto` gives: nobody (65534) is among them, and every user of a distribution.
	DefaultSize = 1 << 16
	// `auto` takes from the entry of this name in /etc/subuid and /etc/subgid, if there is one.
	poolName = "ctr"
	// Else it takes from the IDs that systemd leaves to containers (systemd.io/UIDS-GIDS).
	poolFirst, poolEnd = 0x80000, 0x70000000
)

// Taken is the IDs of one container.
type Taken struct {
	Name string // the container's
	Mode string // what its user asked for, as Choose takes it
	IDs  idmap.Map
}

// Check tells whether the text is one of the forms that Choose knows.
func Check(mode string) error {
	_, err := parse(mode)
	return err
}

// want is a form of --userns, taken apart.
type want struct {
	size  uint32 // auto
	name  string // remap:NAME
	first uint32 // UID:LENGTH, with size
}

func parse(mode string) (w want, err error) {
	name, isRemap := strings.CutPrefix(mode, remap)
	first, length, isRange := strings.Cut(mode, ":")
	switch {
	case mode == auto:
		return want{size: DefaultSize}, nil
	case strings.HasPrefix(mode, auto+":"):
		n, ok := strings.CutPrefix(mode, auto+":"+sizeIs)
		if w.size, err = parseID(n); err != nil || !ok || w.size == 0 {
			return w, fmt.Errorf("invalid USER mode %q: want auto or auto:size=N", mode)
		}
		return w, nil
	case isRemap && name != "" && !strings.ContainsAny(name, ":\n"):
		return want{name: name}, nil
	case isRange && isDigits(first):
		if w.first, err = parseID(first); err == nil {
			w.size, err = parseID(length)
		}
		if err != nil || w.first == 0 || w.size == 0 {
			return w, fmt.Errorf("invalid USER mode %q: want UID:LENGTH, the first ID of the host, not 0, and how many", mode)
		}
		return w, nil
	}
	return w, fmt.Errorf("invalid USER mode %q: want one of %s", mode, Usage)
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func parseID(s string) (uint32, error) {
	if !isDigits(s) {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err
}

// Files are the tables of ranges: /etc/subuid and /etc/subgid (subuid(5)).
type Files struct{ UID, GID string }

// SystemFiles are the host's.
var SystemFiles = Files{"/etc/subuid", "/etc/subgid"}

// Choose returns the IDs for a new container. The others are all containers that have a user namespace of their own. It refuses
// IDs that another one has, unless both were asked for by the same name.
func (f Files) Choose(mode string, others []Taken) (idmap.Map, error) {
	w, err := parse(mode)
	if err != nil {
		return idmap.Map{}, err
	}
	switch {
	case w.name != "":
		m, err := f.named(w.name)
		if err != nil {
			return m, err
		}
		return m, unshared(m, mode, others)
	case w.first != 0:
		m := single(w.first, w.size)
		if err := m.Check(); err != nil {
			return m, fmt.Errorf("use range %s of users: %w", mode, err)
		}
		return m, unshared(m, mode, others)
	}
	return f.free(w.size, others)
}

func single(first, size uint32) idmap.Map {
	r := []idmap.Range{{Inside: 0, Outside: first, Size: size}}
	return idmap.Map{UIDs: r, GIDs: r}
}

// unshared tells whether a range is one's own, or shared knowingly.
func unshared(m idmap.Map, mode string, others []Taken) error {
	for _, o := range others {
		if m.Overlap(o.IDs) && (o.Mode != mode || !strings.HasPrefix(mode, remap)) {
			return fmt.Errorf("use range of users %s: container %s has some of them: --userns container:%s shares them knowingly", mode, o.Name, o.Name)
		}
	}
	return nil
}

// named is the ranges of a name, one after the other from 0 on, as dockerd --userns-remap has them.
func (f Files) named(name string) (m idmap.Map, err error) {
	for _, file := range []struct {
		path string
		to   *[]idmap.Range
	}{{f.UID, &m.UIDs}, {f.GID, &m.GIDs}} {
		entries, err := readTable(file.path)
		if err != nil {
			return m, err
		}
		var next uint32
		for _, e := range entries {
			if e.name == name {
				*file.to = append(*file.to, idmap.Range{Inside: next, Outside: e.Outside, Size: e.Size})
				next += e.Size
			}
		}
		if len(*file.to) == 0 {
			return m, fmt.Errorf("no range of IDs for %q in %s: a line such as %s:100000:65536 gives it one", name, file.path, name)
		}
	}
	if err := m.Check(); err != nil {
		return m, fmt.Errorf("use ranges of %q in %s and %s: %w", name, f.UID, f.GID, err)
	}
	return m, nil
}

// free finds IDs that nobody has, the same numbers for users and groups.
func (f Files) free(size uint32, others []Taken) (idmap.Map, error) {
	uids, err := readTable(f.UID)
	if err != nil {
		return idmap.Map{}, err
	}
	gids, err := readTable(f.GID)
	if err != nil {
		return idmap.Map{}, err
	}
	var busy []idmap.Map
	for _, o := range others {
		busy = append(busy, o.IDs)
	}
	var pools []idmap.Range
	for _, e := range uids {
		if e.name == poolName {
			pools = append(pools, e.Range)
		}
	}
	if len(pools) == 0 {
		pools = []idmap.Range{{Outside: poolFirst, Size: poolEnd - poolFirst}}
		// What the administrator has given to somebody is theirs.
		for _, e := range append(uids, gids...) {
			busy = append(busy, idmap.Map{UIDs: []idmap.Range{e.Range}, GIDs: []idmap.Range{e.Range}})
		}
	} else if !ownsGroups(gids, pools) {
		return idmap.Map{}, fmt.Errorf("the ranges of %q in %s and %s differ: want the same lines in both", poolName, f.UID, f.GID)
	}
	for _, pool := range pools {
		if m, ok := firstFree(pool, size, busy); ok && m.Check() == nil {
			return m, nil
		}
	}
	return idmap.Map{}, fmt.Errorf("no %d users in a row are free: remove a container, or ask for fewer with --userns auto:size=N", size)
}

func ownsGroups(gids []entry, pools []idmap.Range) bool {
	for _, p := range pools {
		found := false
		for _, e := range gids {
			found = found || e.name == poolName && e.Range == p
		}
		if !found {
			return false
		}
	}
	return true
}

// firstFree goes from the end of one range that is in the way to the next.
func firstFree(pool idmap.Range, size uint32, busy []idmap.Map) (idmap.Map, bool) {
	end := uint64(pool.Outside) + uint64(pool.Size)
	for at := uint64(pool.Outside); at+uint64(size) <= end; {
		m := single(uint32(at), size)
		next := at
		for _, b := range busy {
			if !m.Overlap(b) {
				continue
			}
			for _, ranges := range [][]idmap.Range{b.UIDs, b.GIDs} {
				for _, r := range ranges {
					past := uint64(r.Outside) + uint64(r.Size)
					if past > at && uint64(r.Outside) < at+uint64(size) {
						next = max(next, past)
					}
				}
			}
		}
		if next == at {
			return m, true
		}
		at = next
	}
	return idmap.Map{}, false
}

// entry is one line of a table: who has the range.
type entry struct {
	name string
	idmap.Range
}

// maxTable bounds what is read of a table, in bytes.
const maxTable = 10 << 20

// readTable reads a table; one that is not there is empty.
func readTable(path string) ([]entry, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ranges of users: %w", err)
	}
	defer file.Close()
	entries, err := parseTable(io.LimitReader(file, maxTable))
	if err != nil {
		return nil, fmt.Errorf("read ranges of users from %s: %w", path, err)
	}
	return entries, nil
}

// parseTable reads lines NAME:FIRST:LENGTH. What is none is left out, as by shadow-utils.
func parseTable(r io.Reader) ([]entry, error) {
	var out []entry
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, numbers, _ := strings.Cut(strings.TrimSpace(lines.Text()), ":")
		first, length, _ := strings.Cut(numbers, ":")
		a, err1 := parseID(first)
		n, err2 := parseID(length)
		if name == "" || name[0] == '#' || err1 != nil || err2 != nil || n == 0 || uint64(a)+uint64(n) > 1<<32-1 {
			continue
		}
		out = append(out, entry{name, idmap.Range{Outside: a, Size: n}})
	}
	return out, lines.Err()
}
