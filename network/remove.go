package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ctr/internal/durable"
	"ctr/network/ipam"
	"ctr/network/rtnl"
)

// Remove removes a network that no container uses: its device, its rules, its records. It returns ErrNotFound,
// ErrPredefined, or ErrInUse in an error that names the users.
func (n *Networks) Remove(ctx context.Context, ref string) error {
	s, err := n.Find(ref)
	if errors.Is(err, durable.ErrDamaged) {
		return n.removeDamaged(ref)
	}
	if err != nil {
		return err
	}
	if Predefined(s.Name) {
		return fmt.Errorf("%s is a %w and cannot be removed", s.Name, ErrPredefined)
	}
	unlock, err := durable.Lock(n.config.Data)
	if err != nil {
		return err
	}
	defer unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := n.lent(s); err != nil {
		return err
	}
	return n.remove(s)
}

// removeDamaged removes a network whose record cannot be read, by its name or its whole ID. Its device, which nobody remembers,
// is recognised by its mark and swept by the next Create.
func (n *Networks) removeDamaged(ref string) error {
	id, err := os.Readlink(n.namePath(ref))
	if err != nil {
		id = ref
	}
	if !isHex(id) || len(id) != 64 {
		return fmt.Errorf("network %s: %w: remove it by its name or its whole ID", ref, durable.ErrDamaged)
	}
	if live, _, err := n.users(id); err != nil || len(live) > 0 {
		return errors.Join(err, inUse(Spec{Name: ref}, live))
	}
	return n.forget(id, ref)
}

// remove removes a network. The caller holds the lock.
//
// The record is hidden before the users are counted: a container that takes a lease looks for the record afterwards, so that
// one of the two sees the other.
func (n *Networks) remove(s Spec) error {
	if err := os.Rename(n.recordPath(s.ID), n.hiddenPath(s.ID)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove network %s: %w", s.Name, err)
	}
	return n.removeHidden(s)
}

// hiddenPath is where the record of a network is while it is removed.
func (n *Networks) hiddenPath(id string) string { return n.recordPath(id) + ".removing" }

// removeHidden removes a network whose record is hidden, or brings the record back if a container uses it.
func (n *Networks) removeHidden(s Spec) error {
	live, dead, err := n.users(s.ID)
	if err == nil && len(live) > 0 {
		err = inUse(s, live)
	}
	if err != nil {
		return errors.Join(err, os.Rename(n.hiddenPath(s.ID), n.recordPath(s.ID)))
	}
	errs := []error{n.sweepSandboxes(dead), n.removeDevice(s), n.forget(s.ID, s.Name)}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove network %s: %w", s.Name, err)
	}
	return nil
}

// inUse returns the error that names who uses a network, as Docker does.
func inUse(s Spec, live []ipam.Lease) error {
	var users []string
	for _, l := range live {
		users = append(users, fmt.Sprintf("name:%q id:\"%.12s\"", l.Name, l.ID))
	}
	slices.Sort(users)
	users = slices.Compact(users) // who has addresses of both families is there twice
	return fmt.Errorf("error while removing network: network %s has %w (%s)", s.Name, ErrInUse, strings.Join(users, ", "))
}

// users returns the live and the dead leases of a network.
func (n *Networks) users(id string) (live, dead []ipam.Lease, err error) {
	all, err := n.leases(id).List()
	for _, l := range all {
		if l.Alive() {
			live = append(live, l)
		} else {
			dead = append(dead, l)
		}
	}
	return live, dead, err
}

// Users returns the live endpoints of a network, the ID of which is given. Those that end meanwhile may be missing.
func (n *Networks) Users(id string) ([]User, error) {
	live, _, err := n.users(id)
	if err != nil {
		return nil, err
	}
	var users []User
	seen := map[string]bool{}
	for _, l := range live {
		if seen[l.ID] {
			continue
		}
		seen[l.ID] = true
		r, err := ReadRecord(l.Record)
		if err != nil || r.Spec.ID != l.ID {
			continue // it is being set up, or taken down
		}
		for _, e := range r.Endpoints {
			if e.Network == id {
				users = append(users, User{ID: l.ID, Name: l.Name, Endpoint: e})
			}
		}
	}
	return users, nil
}

// Reset removes everything of this installation from this host: devices, rules, names in NetnsDir, records. Containers must
// have ended: while one lives, its network stays, and an error says whose it is.
func (n *Networks) Reset(ctx context.Context) error {
	unlock, err := durable.Lock(n.config.Data)
	if err != nil {
		return err
	}
	defer unlock()
	all, err := n.list()
	if err != nil && !errors.Is(err, durable.ErrDamaged) {
		return err
	}
	var errs, used []error
	for _, s := range all {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, err)...)
		}
		live, dead, err := n.users(s.ID)
		errs = append(errs, err, n.sweepSandboxes(dead))
		if len(live) > 0 {
			used = append(used, inUse(s, live))
			continue
		}
		errs = append(errs, n.removeDevice(s), n.forget(s.ID, s.Name))
	}
	if len(used) > 0 {
		return errors.Join(append(errs, used...)...)
	}
	errs = append(errs, n.wipe(), n.onHost(func(c *rtnl.Conn) error { return n.sweepLinks(c, true) }), n.firewall.Reset())
	return errors.Join(errs...)
}

// wipe removes what is left of the records: those that are damaged, names that lead nowhere.
func (n *Networks) wipe() error {
	var errs []error
	for _, dir := range []string{n.config.Data, n.config.Run, n.config.Names} {
		entries, err := os.ReadDir(dir)
		errs = append(errs, err)
		for _, e := range entries {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
