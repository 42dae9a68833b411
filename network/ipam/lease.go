package ipam

import (
	"fmt"
	"net/netip"
	"strings"

	"ctr/internal/proc"
)

// Lease is one address with who has it.
type Lease struct {
	Address netip.Addr
	ID      string    // the container's
	Name    string    // the container's
	Owners  []proc.ID // the lease lives while one of them does
	Record  string    // the path of the sandbox's record
}

// Alive tells whether a process that the lease belongs to still runs.
func (l Lease) Alive() bool {
	for _, p := range l.Owners {
		if p.Alive() {
			return true
		}
	}
	return false
}

// of tells whether the container took the lease for this owner.
func (l Lease) of(id string, owner proc.ID) bool {
	return l.ID == id && len(l.Owners) > 0 && l.Owners[0] == owner
}

// text returns the lease as the target of its symbolic link.
func (l Lease) text() string {
	owners := make([]string, len(l.Owners))
	for i, p := range l.Owners {
		owners[i] = p.String()
	}
	return strings.Join([]string{l.ID, l.Name, strings.Join(owners, ","), l.Record}, " ")
}

// parseLease reads what text wrote.
func parseLease(a netip.Addr, text string) (Lease, error) {
	f := strings.SplitN(text, " ", 4) // the path, which may hold blanks, comes last
	if len(f) != 4 || f[0] == "" {
		return Lease{}, fmt.Errorf("lease of %s: malformed %q", a, text)
	}
	l := Lease{Address: a, ID: f[0], Name: f[1], Record: f[3]}
	for o := range strings.SplitSeq(f[2], ",") {
		p, err := proc.Parse(o)
		if err != nil {
			return Lease{}, fmt.Errorf("lease of %s: %w", a, err)
		}
		l.Owners = append(l.Owners, p)
	}
	return l, nil
}
