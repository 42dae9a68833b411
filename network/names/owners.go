package names

import (
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"ctr/internal/proc"
)

// maxOwners is how many pidfds a reader keeps. A container talks to a few others; each keeper may hold that many.
const maxOwners = 64

// owners tells whether processes run, by a pidfd for each that was asked about lately: one poll(2) instead of an open, read
// and parse of /proc/PID/stat. The zero value is ready.
type owners struct {
	mu   sync.Mutex
	open map[proc.ID]*os.File
	poll [1]unix.PollFd // kept here, since an argument of poll(2) would be new memory each time
}

// alive tells whether the process runs. A zombie does not: its pidfd is readable.
func (o *owners) alive(p proc.ID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	f, ok := o.open[p]
	if !ok {
		var err error
		if f, err = p.Open(); err != nil {
			return false
		}
		o.keep(p, f)
	}
	for {
		o.poll[0] = unix.PollFd{Fd: int32(f.Fd()), Events: unix.POLLIN}
		n, err := unix.Poll(o.poll[:], 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n == 0 && err == nil {
			return true
		}
		delete(o.open, p)
		f.Close()
		return false
	}
}

// keep adds a pidfd, in the place of any other if there are too many.
func (o *owners) keep(p proc.ID, f *os.File) {
	if o.open == nil {
		o.open = make(map[proc.ID]*os.File)
	}
	if len(o.open) >= maxOwners {
		for old, f := range o.open {
			delete(o.open, old)
			f.Close()
			break
		}
	}
	o.open[p] = f
}

func (o *owners) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.open {
		f.Close()
	}
	o.open = nil
}
