package network

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Rename gives the container another name, in the zones of its networks, on its leases and in NetnsDir.
func (l *Live) Rename(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	r := l.Record
	before := *r
	before.Endpoints = slices.Clone(r.Endpoints)
	r.Spec.Name = name
	for _, a := range l.all {
		// Both names are in the record while there may be both in a zone.
		a.DNSNames = append(a.dnsNames(r.Spec), a.DNSNames...)
	}
	if err := r.write(); err != nil {
		return err
	}
	var errs []error
	for i, a := range l.all {
		a.DNSNames = a.dnsNames(r.Spec)
		if r.Init.Alive() {
			errs = append(errs, l.announce(r, *a.Endpoint))
		}
		errs = append(errs, l.unnameOld(r.Spec.ID, before.Endpoints[i], a.DNSNames))
		for _, p := range a.prefixes() {
			errs = append(errs, l.leases(a.Network).Rename(p.Addr(), r.Spec.ID, name))
		}
	}
	if r.NetnsName != "" {
		errs = append(errs, l.renameNamespace(before.NetnsName))
	}
	return errors.Join(append(errs, r.write())...)
}

// unnameOld removes the names that an endpoint had and has no more.
func (l *Live) unnameOld(id string, old Endpoint, now []string) error {
	var errs []error
	for _, name := range old.DNSNames {
		if slices.ContainsFunc(now, func(n string) bool { return strings.EqualFold(n, name) }) {
			continue
		}
		for _, p := range old.prefixes() {
			errs = append(errs, l.zone(old.Network).Remove(name, p.Addr(), id))
		}
	}
	return errors.Join(errs...)
}

// renameNamespace has ip-netns(8) show the new name.
func (l *Live) renameNamespace(old string) error {
	name, warning, err := l.nameNamespace(l.Record)
	if err != nil {
		return err
	}
	if warning != "" {
		l.Warnings = append(l.Warnings, warning)
	}
	l.Record.NetnsName = name
	if name == old {
		return nil
	}
	path := filepath.Join(l.config.NetnsDir, old)
	if target, err := os.Readlink(path); err == nil && target == l.Record.netnsTarget() {
		return removeFile(path)
	}
	return nil // gone, or another's
}
