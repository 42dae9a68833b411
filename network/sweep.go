package network

import (
	"errors"
	"fmt"
	"os"

	"ctr/network/ipam"
	"ctr/network/rtnl"
)

// sweepSandboxes takes down the sandboxes that dead leases tell of: their containers and monitors were killed, and nobody did
// it for them.
func (n *Networks) sweepSandboxes(dead []ipam.Lease) error {
	var errs []error
	for _, l := range dead {
		r, err := ReadRecord(l.Record)
		if err != nil || r.Spec.ID != l.ID || r.alive() {
			continue // no trace of it, or of a later start of the same container
		}
		errs = append(errs, n.Teardown(l.Record))
	}
	return errors.Join(errs...)
}

// sweepLinks deletes the links with our mark that belong to nobody: ends of veth pairs whose container has no live lease, and
// devices of networks that have no record. A container takes its lease before its link is made, so the links are listed
// first. With all it spares none.
func (n *Networks) sweepLinks(c *rtnl.Conn, all bool) error {
	links, err := c.Links()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	ours := map[int]string{}
	for _, l := range links {
		if id, ok := markedID(n.config.Tag, l.Attrs().Alias); ok {
			ours[l.Attrs().Index] = id
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
	for index, id := range ours {
		if !spared[id] {
			errs = append(errs, c.Delete(index))
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
