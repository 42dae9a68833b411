package monitor

import (
	"ctr/internal/span"
	"ctr/network/netns"
	"ctr/runtime/userns"
)

// openUserNS makes the container's user namespace, with a network namespace in it for the sandbox; one without a range of IDs of
// its own has none. A sandbox that is there already, or joined, has the one that it belongs to.
func (r *run) openUserNS() (err error) {
	if r.m.c.IDs.IsZero() {
		return nil
	}
	defer span.Begin("make user namespace").End()
	switch {
	case r.joins.user != nil:
		r.userns, r.joins.user.f = r.joins.user.f, nil
		return nil
	case r.m.sandbox != nil:
		r.userns, err = userns.OwnerOf(r.m.sandbox.NetNS.File())
		return err
	}
	made, err := userns.New(r.m.c.IDs, true)
	if err != nil {
		return err
	}
	r.userns, r.netnsMade = made.User, netns.FromFile(made.Net)
	return nil
}

// takeNetNS hands the network namespace that openUserNS has made to the sandbox; nil: there is none.
func (r *run) takeNetNS() *netns.Handle {
	h := r.netnsMade
	r.netnsMade = nil
	return h
}

// closeUserNS closes what the container's init has entered.
func (r *run) closeUserNS() {
	if r.userns != nil {
		r.userns.Close()
		r.userns = nil
	}
	if h := r.takeNetNS(); h != nil {
		h.Close()
	}
}
