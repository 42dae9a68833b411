package names

import (
	"os"
	"sync"

	"ctr/internal/proc"
)

// maxOwners is how many pidfds a reader keeps. A container talks to a few others; each keeper may hold that many.
const maxOwners = 64

// owners tells whether processes run, by a pidfd for each that was asked about lately: one ppoll(2) instead of an open, read
// and parse of /proc/PID/stat. The zero value is ready.
type owners struct {
	mu   sync.Mutex
	open map[proc.ID]keptOwner
}

// keptOwner is one process, with the ID that its entries last named, so that an answer makes no new memory for that.
type keptOwner struct {
	pidfd *os.File
	id    string
}

// alive returns the owner of an entry, and whether its process runs. A zombie does not: its pidfd is readable.
func (o *owners) alive(id []byte, p proc.ID) (Owner, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	kept, ok := o.open[p]
	if !ok {
		f, err := p.Open()
		if err != nil {
			return Owner{}, false
		}
		kept = keptOwner{pidfd: f}
	}
	if kept.id != string(id) {
		kept.id = string(id)
		o.keep(p, kept)
	}
	if ended, errno := readable(kept.pidfd.Fd()); !ended && errno == 0 {
		return Owner{ID: kept.id, Process: p}, true
	}
	delete(o.open, p)
	kept.pidfd.Close()
	return Owner{}, false
}

// keep keeps a process, in the place of any other if there are too many.
func (o *owners) keep(p proc.ID, kept keptOwner) {
	if o.open == nil {
		o.open = make(map[proc.ID]keptOwner)
	}
	if _, again := o.open[p]; !again && len(o.open) >= maxOwners {
		for old, other := range o.open {
			delete(o.open, old)
			other.pidfd.Close()
			break
		}
	}
	o.open[p] = kept
}

func (o *owners) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, kept := range o.open {
		kept.pidfd.Close()
	}
	o.open = nil
}
