package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"ctr/internal/durable"
	"ctr/network/ipam"
	"ctr/network/rtnl"
)

// Sweep finishes what killed commands have begun: removals of networks, and creations, which are undone. Where there is nothing
// it costs one look-up for each network.
func (n *Networks) Sweep() error {
	ids, err := n.unfinished()
	if err != nil || len(ids) == 0 {
		return err
	}
	unlock, err := durable.Lock(n.config.Data)
	if err != nil {
		return err
	}
	defer unlock()
	if ids, err = n.unfinished(); err != nil { // some were only being made
		return err
	}
	var errs []error
	for _, id := range ids {
		errs = append(errs, n.finish(id))
	}
	return errors.Join(append(errs, n.onHost(func(c *rtnl.Conn) error { return n.sweepLinks(c, false) }))...)
}

// unfinished returns the IDs that have a folder and no record.
func (n *Networks) unfinished() ([]string, error) {
	ids, err := n.ids()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(ids, func(id string) bool {
		_, err := os.Lstat(n.recordPath(id))
		return !errors.Is(err, os.ErrNotExist)
	}), nil
}

// finish removes a network without a record. The caller holds the lock.
func (n *Networks) finish(id string) error {
	var s Spec
	if err := durable.ReadJSON(n.hiddenPath(id), &s); err == nil && s.ID == id {
		if err := n.removeHidden(s); !errors.Is(err, ErrInUse) {
			return err
		}
		return nil // a container was faster than who removed it
	}
	entries, err := os.ReadDir(n.config.Names)
	errs := []error{err}
	for _, e := range entries {
		if held, err := os.Readlink(n.namePath(e.Name())); err == nil && held == id {
			errs = append(errs, removeFile(n.namePath(e.Name())))
		}
	}
	return errors.Join(append(errs, n.forget(id, ""))...)
}

// Forget removes the names of a container, the ID of which is given, from all networks, and its published ports from the
// firewall: for when the record of its sandbox is lost, since it reads all that there are.
func (n *Networks) Forget(container string) error {
	ids, err := n.ids()
	errs := []error{err}
	for _, id := range ids {
		errs = append(errs, n.zone(id).RemoveOwner(container))
	}
	return errors.Join(append(errs, n.firewall.RemoveOwner(container))...)
}

// ForgetName removes what ip-netns(8) shows of a container, if it leads nowhere: the record that told of it may be lost.
func (n *Networks) ForgetName(container, name string) error {
	r := Record{Spec: SandboxSpec{ID: container, Name: name}}
	var errs []error
	for _, entry := range r.netnsNames() {
		if path := filepath.Join(n.config.NetnsDir, entry); abandoned(path) {
			errs = append(errs, removeFile(path))
		}
	}
	return errors.Join(errs...)
}

// forgetRecord removes the leases and names of the sandbox whose record was at the path, and is of no use.
func (n *Networks) forgetRecord(record string) error {
	ids, err := n.ids()
	errs := []error{err}
	for _, id := range ids {
		all, err := n.leases(id).List()
		errs = append(errs, err)
		for _, l := range all {
			if l.Record == record && !l.Alive() {
				errs = append(errs, n.leases(id).ReleaseAll(l.ID, l.Owners[0]), n.zone(id).RemoveOwner(l.ID), n.firewall.RemoveOwner(l.ID))
			}
		}
	}
	return errors.Join(errs...)
}

// sweepSandboxes takes down the sandboxes that dead leases tell of: their containers and monitors were killed, and nobody did
// it for them.
func (n *Networks) sweepSandboxes(dead []ipam.Lease) error {
	var errs []error
	for _, l := range dead {
		r, err := ReadRecord(l.Record)
		if errors.Is(err, os.ErrNotExist) {
			errs = append(errs, n.Forget(l.ID))
		}
		if err != nil || r.Spec.ID != l.ID || r.alive() {
			continue // no trace of it, or of a later start of the same container
		}
		errs = append(errs, n.Teardown(l.Record))
	}
	return errors.Join(errs...)
}

// sweepLocked is sweepLinks for who does not hold the lock.
func (n *Networks) sweepLocked(c *rtnl.Conn) error {
	unlock, err := durable.Lock(n.config.Data)
	if err != nil {
		return err
	}
	defer unlock()
	return n.sweepLinks(c, false)
}

// sweepLinks deletes the links with our mark that belong to nobody: ends of veth pairs whose container has no live lease, and
// devices of networks that have no record. A container takes its lease before its link is made, so the links are listed
// first. With all it spares none. The caller holds the lock: else somebody may make a bridge of the same name meanwhile, the
// rules of which would go.
func (n *Networks) sweepLinks(c *rtnl.Conn, all bool) error {
	links, err := c.Links()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	ours := links[:0]
	for _, l := range links {
		if _, ok := markedID(n.config.Tag, l.Attrs().Alias); ok {
			ours = append(ours, l)
		}
	}
	if len(ours) == 0 {
		return nil
	}
	spared := map[string]bool{}
	if !all {
		if spared, err = n.liveIDs(); err != nil {
			return err
		}
	}
	var errs []error
	for _, l := range ours {
		if id, _ := markedID(n.config.Tag, l.Attrs().Alias); spared[id] {
			continue
		}
		errs = append(errs, c.Delete(l.Attrs().Index))
		if l.Type() == "bridge" {
			errs = append(errs, n.firewall.RemoveNetwork(l.Attrs().Name))
		}
	}
	return errors.Join(errs...)
}

// liveIDs returns the IDs of all networks, and of the containers that have a live lease.
func (n *Networks) liveIDs() (map[string]bool, error) {
	ids, err := n.ids()
	if err != nil {
		return nil, err
	}
	live := map[string]bool{}
	for _, id := range ids {
		live[id] = true
		leases, _, err := n.users(id)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		for _, l := range leases {
			live[l.ID] = true
		}
	}
	return live, nil
}
