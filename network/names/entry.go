package names

import (
	"fmt"
	"net/netip"
	"strings"

	"ctr/internal/proc"
)

// Owner is who stands behind an entry: the container with the ID, as long as the process runs.
type Owner struct {
	ID      string
	Process proc.ID
}

// maxEntry is the longest text of an entry in bytes: an ID, two numbers and a name.
const maxEntry = 512

// String returns the text of the entry, which parseOwner reads.
func (o Owner) String() string { return o.ID + ":" + o.Process.String() }

// validate refuses what could not be read back.
func (o Owner) validate() error {
	switch {
	case o.ID == "" || len(o.ID) > 128 || strings.ContainsAny(o.ID, ":/\x00"):
		return fmt.Errorf("owner %q: malformed ID", o.ID)
	case o.Process.PID <= 0:
		return fmt.Errorf("owner %q: no process", o.ID)
	}
	return nil
}

// parseOwner reads the text of an entry, if it is well formed; rest is what follows the owner, which only an address's entry has. Id and rest are
// part of the text.
func parseOwner(text []byte) (id []byte, p proc.ID, rest []byte, ok bool) {
	id, text, ok = cut(text)
	if !ok || len(id) == 0 {
		return nil, proc.ID{}, nil, false
	}
	pidText, text, _ := cut(text)
	startText, rest, _ := cut(text)
	pid, ok1 := number(pidText)
	start, ok2 := number(startText)
	if !ok1 || !ok2 || pid == 0 || pid > 1<<31-1 {
		return nil, proc.ID{}, nil, false
	}
	return id, proc.ID{PID: int(pid), Start: start}, rest, true
}

// readOwner reads the text of an entry for those who are in no hurry.
func readOwner(text []byte) (o Owner, ok bool) {
	id, p, _, ok := parseOwner(text)
	return Owner{ID: string(id), Process: p}, ok
}

func cut(text []byte) (before, after []byte, found bool) {
	for i, c := range text {
		if c == ':' {
			return text[:i], text[i+1:], true
		}
	}
	return text, nil, false
}

// number reads a decimal number without making a string of it: it runs twice per entry of every answer.
func number(text []byte) (uint64, bool) {
	if len(text) == 0 || len(text) > 19 {
		return 0, false
	}
	var n uint64
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

// parseAddr reads the name of an address's file. Only IPv6 makes new memory.
func parseAddr(text []byte) (netip.Addr, bool) {
	var a [4]byte
	rest := text
	for i := range a {
		n := 0
		for n < len(rest) && rest[n] != '.' {
			n++
		}
		v, ok := number(rest[:n])
		if !ok || v > 255 || n > 1 && rest[0] == '0' || (n == len(rest)) != (i == 3) {
			addr, err := netip.ParseAddr(string(text))
			return addr, err == nil
		}
		a[i], rest = byte(v), rest[min(n+1, len(rest)):]
	}
	return netip.AddrFrom4(a), true
}
