// Package idmap holds how the users and groups of a container are those of the host: the ranges of a user namespace.
//
// It is pure: it makes no namespace and changes no file.
package idmap

import (
	"errors"
	"fmt"
	"syscall"
)

// Range is a run of IDs: Inside the container, and Outside, on the host.
type Range struct {
	Inside  uint32 `json:"inside"`
	Outside uint32 `json:"outside"`
	Size    uint32 `json:"size"`
}

// Map is the IDs of a container. The zero Map is that of a container without a user namespace of its own: all IDs are the
// host's.
type Map struct {
	UIDs []Range `json:"uids,omitempty"`
	GIDs []Range `json:"gids,omitempty"`
}

// Overflow is the ID by which the kernel shows what a map does not have (proc_sys_kernel(5), overflowuid).
const Overflow = 65534

// IsZero tells whether the IDs are the host's. It is what the tag omitzero asks.
func (m Map) IsZero() bool { return len(m.UIDs) == 0 && len(m.GIDs) == 0 }

// Outside returns the host's IDs of a user and a group of the container, and whether the container has both.
func (m Map) Outside(uid, gid int) (int, int, bool) {
	if m.IsZero() {
		return uid, gid, true
	}
	u, okU := outside(m.UIDs, uid)
	g, okG := outside(m.GIDs, gid)
	return u, g, okU && okG
}

// Inside returns the container's IDs of a user and a group of the host; Overflow for those that it does not have.
func (m Map) Inside(uid, gid int) (int, int) {
	if m.IsZero() {
		return uid, gid
	}
	return inside(m.UIDs, uid), inside(m.GIDs, gid)
}

func outside(ranges []Range, id int) (int, bool) {
	for _, r := range ranges {
		if id >= int(r.Inside) && id-int(r.Inside) < int(r.Size) {
			return id - int(r.Inside) + int(r.Outside), true
		}
	}
	return Overflow, false
}

func inside(ranges []Range, id int) int {
	for _, r := range ranges {
		if id >= int(r.Outside) && id-int(r.Outside) < int(r.Size) {
			return id - int(r.Outside) + int(r.Inside)
		}
	}
	return Overflow
}

// Overlap tells whether two containers would have an ID of the host in common.
func (m Map) Overlap(o Map) bool { return overlap(m.UIDs, o.UIDs) || overlap(m.GIDs, o.GIDs) }

func overlap(a, b []Range) bool {
	for _, x := range a {
		for _, y := range b {
			if uint64(x.Outside) < uint64(y.Outside)+uint64(y.Size) && uint64(y.Outside) < uint64(x.Outside)+uint64(x.Size) {
				return true
			}
		}
	}
	return false
}

// Check tells whether the kernel would take the map, and whether it is one that a container can live with: it has a root.
func (m Map) Check() error {
	for _, ranges := range [][]Range{m.UIDs, m.GIDs} {
		if _, ok := outside(ranges, 0); !ok {
			return errors.New("the range has no ID for root")
		}
		for i, r := range ranges {
			const most = 1<<32 - 1 // 2^32-1 is no ID
			if r.Size == 0 || uint64(r.Inside)+uint64(r.Size) > most || uint64(r.Outside)+uint64(r.Size) > most {
				return fmt.Errorf("no such range of IDs: %d:%d", r.Outside, r.Size)
			}
			if overlap(ranges[:i], ranges[i:i+1]) {
				return errors.New("the ranges overlap")
			}
			if r.Outside == 0 {
				return errors.New("a range that holds the host's root protects nothing")
			}
		}
	}
	return nil
}

// Sys returns the ranges of users or groups as clone(2) by package syscall wants them.
func Sys(ranges []Range) []syscall.SysProcIDMap {
	out := make([]syscall.SysProcIDMap, len(ranges))
	for i, r := range ranges {
		out[i] = syscall.SysProcIDMap{ContainerID: int(r.Inside), HostID: int(r.Outside), Size: int(r.Size)}
	}
	return out
}
