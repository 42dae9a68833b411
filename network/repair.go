package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ctr/network/firewall"
	"ctr/network/ipam"
	"ctr/network/names"
	"ctr/network/rtnl"
)

// passes is how often Repair looks and repairs: containers that start or end meanwhile are in between.
const passes = 5

// Repair cures what Check finds, and returns what it cannot cure. Connections and running containers survive it.
func (n *Networks) Repair(ctx context.Context) (left []Finding, err error) {
	for range passes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s, err := n.survey()
		if err != nil {
			return nil, err
		}
		if left = s.findings; !s.curable() {
			return left, nil
		}
		if err := s.cure(); err != nil {
			return left, err
		}
	}
	return n.Check(ctx)
}

// curable tells whether Repair can do anything.
func (s *survey) curable() bool {
	for _, f := range s.findings {
		if f.Cure {
			return true
		}
	}
	return false
}

// cure puts everything in its place. All steps are tried.
func (s *survey) cure() error {
	errs := []error{s.onHost(func(c *rtnl.Conn) error {
		errs := []error{s.sweepLocked(c)}
		for _, one := range s.specs {
			now, d, err := s.ensure(c, one)
			if err == nil {
				err = s.reattach(c, now, d)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("repair network %s: %w", one.Name, err))
			}
		}
		return errors.Join(errs...)
	})}
	for _, r := range s.records {
		if err := errors.Join(s.cureInside(r), s.cureRecords(r)); err != nil {
			errs = append(errs, fmt.Errorf("repair network of %s: %w", r.Spec.Name, err))
		}
	}
	if s.rules {
		errs = append(errs, s.firewall.Repair(func() ([]firewall.Network, []firewall.Port, error) {
			now := &survey{Networks: s.Networks}
			err := now.read()
			networks, ports := now.wanted()
			return networks, ports, err
		}))
	}
	return errors.Join(errs...)
}

// cureRecords writes again what says which addresses, names and namespace a container has.
func (s *survey) cureRecords(r *Record) error {
	var errs []error
	for _, e := range r.Endpoints {
		zone := s.zone(e.Network)
		for _, p := range e.prefixes() {
			if _, err := s.leases(e.Network).Get(p.Addr()); errors.Is(err, os.ErrNotExist) {
				lease := ipam.Lease{Address: p.Addr(), ID: r.Spec.ID, Name: r.Spec.Name, Owners: r.owners(), Record: r.Spec.Record}
				_, err := s.leases(e.Network).Take(lease)
				errs = append(errs, err)
			}
			owner := names.Owner{ID: r.Spec.ID, Process: r.Init}
			for i, name := range e.DNSNames {
				errs = append(errs, zone.Add(name, p.Addr(), owner))
				if i == 0 {
					errs = append(errs, zone.SetReverse(p.Addr(), name, owner))
				}
			}
		}
	}
	if path := filepath.Join(s.config.NetnsDir, r.NetnsName); r.NetnsName != "" && r.Owner.Alive() {
		errs = append(errs, os.MkdirAll(s.config.NetnsDir, 0o755))
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			errs = append(errs, os.Symlink(r.netnsTarget(), path))
		}
	}
	return errors.Join(errs...)
}

// restoreRules brings back the rules of all that lives but the network with the ID: somebody has removed the table, as
// `nft flush ruleset` does. It only adds, since other containers start and end meanwhile.
func (n *Networks) restoreRules(but string) error {
	s := &survey{Networks: n}
	if err := s.read(); err != nil {
		return err
	}
	networks, ports := s.wanted()
	for _, f := range networks {
		if slices.ContainsFunc(s.specs, func(one Spec) bool { return one.ID == but && one.Bridge == f.Bridge }) {
			continue
		}
		if _, err := n.firewall.AddNetwork(f); err != nil {
			return err
		}
	}
	if err := n.firewall.ForgetIntruders(networks); err != nil {
		return err
	}
	if len(ports) == 0 {
		return nil
	}
	if err := n.firewall.AddPorts(ports); err != nil {
		return err
	}
	// Somebody may have taken a container down between our look at its record and this.
	ending := false
	for _, r := range s.records {
		ending = ending || !r.Init.Alive()
	}
	if !ending {
		return nil
	}
	time.Sleep(meanwhile) //nolint:forbidigo // Whoever takes it down tells nobody.
	var ended []firewall.Port
	for _, r := range s.records {
		if _, err := os.Stat(r.Spec.Record); errors.Is(err, os.ErrNotExist) {
			ended = append(ended, r.rules()...)
		}
	}
	return n.firewall.RemovePorts(ended)
}
