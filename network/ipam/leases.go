package ipam

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"ctr/internal/durable"
	"ctr/internal/proc"
)

// ErrInUse is returned when a live container has the address.
var ErrInUse = errors.New("Address already in use") //nolint:staticcheck // Docker's wording, which scripts look for.

// probed is how many leases TakeLowest examines for dead owners, at least, before it takes an address. Looking at all of
// them would make the start of a container as slow as its network is full.
const probed = 8

// Leases are the leases of one network.
type Leases struct {
	Dir string // exists while the network does
}

// turns counts the searches of this process.
var turns atomic.Uint64

// Take takes the address that the lease names. It returns the dead lease that it replaced, if there was one, and ErrInUse if
// the address is taken.
func (l Leases) Take(lease Lease) (dead []Lease, err error) {
	for {
		err := os.Symlink(lease.text(), l.path(lease.Address))
		if err == nil {
			return dead, nil
		}
		if !errors.Is(err, os.ErrExist) {
			return dead, fmt.Errorf("lease %s: %w", lease.Address, err)
		}
		old, err := l.reclaim(lease.Address)
		if err != nil {
			return dead, fmt.Errorf("lease %s: %w", lease.Address, err)
		}
		if old != nil {
			dead = append(dead, *old)
		}
	}
}

// TakeLowest takes the lowest address of the range that is free, and says which. Of addresses whose owner has died it frees
// all if the range is exhausted, and at least a few otherwise, so that in the end none stays unused; it returns their leases,
// whose other traces the caller may then remove. It returns ErrExhausted if all are in use.
func (l Leases) TakeLowest(r Range, lease Lease) (a netip.Addr, dead []Lease, err error) {
	names, err := l.names()
	if err != nil {
		return netip.Addr{}, nil, fmt.Errorf("list leases: %w", err)
	}
	taken := make(map[netip.Addr]bool, len(names))
	for _, a := range names {
		taken[a] = true
	}
	// The starting point wanders, so that every lease is looked at now and then.
	start := int(turns.Add(1)) + os.Getpid()
	for i := range min(probed, len(names)) {
		a := names[(start*probed+i)%len(names)]
		if old, err := l.reclaim(a); err == nil {
			delete(taken, a)
			if old != nil {
				dead = append(dead, *old)
			}
		}
	}
	for a := range r.Free() {
		if taken[a] {
			continue
		}
		lease.Address = a
		old, err := l.Take(lease)
		dead = append(dead, old...)
		if err == nil || !errors.Is(err, ErrInUse) {
			return a, dead, err
		}
	}
	return l.takeDead(r, lease, names, dead)
}

// takeDead takes the lowest address of the range whose owner has died: the last resort when no other is left.
func (l Leases) takeDead(r Range, lease Lease, names []netip.Addr, dead []Lease) (netip.Addr, []Lease, error) {
	held := make(map[netip.Addr]bool, len(names))
	for _, a := range names {
		held[a] = true
	}
	for a := range r.Free() {
		if !held[a] {
			continue
		}
		lease.Address = a
		old, err := l.Take(lease)
		dead = append(dead, old...)
		if err == nil || !errors.Is(err, ErrInUse) {
			return a, dead, err
		}
	}
	return netip.Addr{}, dead, fmt.Errorf("no available IPv%d addresses on this network's address pools: %w",
		map[bool]int{true: 4, false: 6}[r.Subnet.Addr().Is4()], ErrExhausted)
}

// reclaim removes the lease of the address if it is dead, and returns it. It returns nil and no error if there is no lease
// any more, and ErrInUse if there is a live one.
//
// Without a lock two racers could both find a dead lease, and the slower one would remove the lease that the faster one put
// in its place.
func (l Leases) reclaim(a netip.Addr) (*Lease, error) {
	old, err := l.Get(a)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err == nil && old.Alive():
		return nil, ErrInUse
	}
	unlock, err := durable.Lock(l.Dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	// A lease that does not parse belongs to nobody.
	old, err = l.Get(a)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err == nil && old.Alive():
		return nil, ErrInUse
	}
	_ = os.Remove(l.waiting(a)) // its owner may have been killed while it wrote
	if err := os.Remove(l.path(a)); err != nil {
		return nil, err
	}
	return &old, nil
}

// Get returns the lease of the address, live or dead. It returns an error that wraps os.ErrNotExist if there is none.
func (l Leases) Get(a netip.Addr) (Lease, error) {
	text, err := os.Readlink(l.path(a))
	if err != nil {
		return Lease{Address: a}, err
	}
	lease, err := parseLease(a, text)
	lease.Address = a
	return lease, err
}

// Own adds an owner to the container's lease of the address. Only a live owner may do so.
func (l Leases) Own(a netip.Addr, id string, p proc.ID) error {
	lease, err := l.Get(a)
	if err != nil {
		return fmt.Errorf("own lease: %w", err)
	}
	if lease.ID != id {
		return fmt.Errorf("own lease of %s: it belongs to container %.12s", a, lease.ID)
	}
	// The first owner, whom the lease was taken for, stays; those in between may have ended.
	owners := []proc.ID{lease.Owners[0]}
	for _, o := range append(lease.Owners[1:], p) {
		if o.Alive() && !slices.Contains(owners, o) {
			owners = append(owners, o)
		}
	}
	lease.Owners = owners
	return l.replace(lease)
}

// Rename gives the container's lease of the address the container's new name. A lease that is gone is good.
func (l Leases) Rename(a netip.Addr, id, name string) error {
	lease, err := l.Get(a)
	if err != nil || lease.ID != id {
		return nil //nolint:nilerr // gone, or somebody else's
	}
	lease.Name = name
	return l.replace(lease)
}

// replace writes a lease in the place of the one that its live owner has.
func (l Leases) replace(lease Lease) error {
	a := lease.Address
	tmp := l.waiting(a)
	// Who was killed before the rename has left one. The owners of one lease do not write at the same time.
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("write lease of %s: %w", a, err)
	}
	if err := os.Symlink(lease.text(), tmp); err != nil {
		return fmt.Errorf("write lease of %s: %w", a, err)
	}
	if err := os.Rename(tmp, l.path(a)); err != nil {
		os.Remove(tmp)
		return fmt.Errorf("write lease of %s: %w", a, err)
	}
	return nil
}

// Release gives back the address that the container leased for this owner. An address that is free, or leased by somebody else
// by now, be it the same container started again, is left alone.
func (l Leases) Release(a netip.Addr, id string, owner proc.ID) error {
	lease, err := l.Get(a)
	if err != nil || !lease.of(id, owner) {
		return nil // gone, or not ours: what was asked for is so
	}
	unlock, err := durable.Lock(l.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("release %s: %w", a, err)
	}
	defer unlock()
	lease, err = l.Get(a)
	if err != nil || !lease.of(id, owner) {
		return nil
	}
	for _, path := range []string{l.waiting(a), l.path(a)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("release %s: %w", a, err)
		}
	}
	return nil
}

// ReleaseAll gives back all addresses that the container leased for this owner.
func (l Leases) ReleaseAll(id string, owner proc.ID) error {
	leases, err := l.List()
	if err != nil {
		return err
	}
	var errs []error
	for _, lease := range leases {
		if lease.of(id, owner) {
			errs = append(errs, l.Release(lease.Address, id, owner))
		}
	}
	return errors.Join(errs...)
}

// List returns all leases, live and dead, in no order. A folder that does not exist holds none.
func (l Leases) List() ([]Lease, error) {
	names, err := l.names()
	if err != nil {
		return nil, fmt.Errorf("list leases: %w", err)
	}
	leases := make([]Lease, 0, len(names))
	for _, a := range names {
		lease, err := l.Get(a)
		if err == nil {
			leases = append(leases, lease)
		}
	}
	return leases, nil
}

// Empty tells whether no address has a lease, of whoever is alive or dead.
func (l Leases) Empty() (bool, error) {
	all, err := l.names()
	return len(all) == 0, err
}

// names returns the addresses that have a lease.
func (l Leases) names() ([]netip.Addr, error) {
	d, err := os.Open(l.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	addrs := make([]netip.Addr, 0, len(entries))
	for _, name := range entries {
		if a, err := netip.ParseAddr(name); err == nil {
			addrs = append(addrs, a)
		}
	}
	return addrs, nil
}

// waiting is the name under which a link waits to be renamed over the lease.
func (l Leases) waiting(a netip.Addr) string { return filepath.Join(l.Dir, "."+a.String()) }

func (l Leases) path(a netip.Addr) string { return filepath.Join(l.Dir, a.String()) }
