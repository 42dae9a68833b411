package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ctr/internal/durable"
	"ctr/internal/proc"
	"ctr/internal/span"
	"ctr/network/names"
	"ctr/network/rtnl"
)

// Announce makes the sandbox known, once the container's first process exists and before its program is released: the leases
// live on with that process, the names of the container appear in the zones of its networks, and ip-netns(8) shows it. It is
// called again when the container is started again in the same sandbox. What it makes is Teardown's to remove.
func (s *Sandbox) Announce(init proc.ID) error {
	defer span.Begin("announce").End()
	n := s.networks
	unlock, err := n.lockRecord(s.Record.Spec.Record)
	if err != nil {
		return err
	}
	defer unlock()
	if s.Record.Init != (proc.ID{}) {
		// It may have been changed while the container ran.
		if s.Record, err = ReadRecord(s.Record.Spec.Record); err != nil {
			return err
		}
		if err := s.Record.redirect(s.NetNS); err != nil {
			return err
		}
	}
	r := s.Record
	r.Init = init
	for _, e := range r.Endpoints {
		if err := n.announce(r, e); err != nil {
			return err
		}
	}
	name, warning, err := n.nameNamespace(r)
	if err != nil {
		return err
	}
	if warning != "" {
		s.Warnings = append(s.Warnings, warning)
	}
	r.NetnsName = name
	return r.write()
}

// announce makes one endpoint known.
func (n *Networks) announce(r *Record, e Endpoint) error {
	zone, owner := n.zone(e.Network), names.Owner{ID: r.Spec.ID, Process: r.Init}
	for _, p := range e.prefixes() {
		if err := n.leases(e.Network).Own(p.Addr(), r.Spec.ID, r.Init); err != nil {
			return err
		}
		for _, name := range e.DNSNames {
			if err := zone.Add(name, p.Addr(), owner); err != nil {
				return err
			}
		}
		if len(e.DNSNames) > 0 {
			if err := zone.SetReverse(p.Addr(), e.DNSNames[0], owner); err != nil {
				return err
			}
		}
	}
	return nil
}

// lockRecord takes the right to change a sandbox that is there: the lock of the folder that its record is in.
func (n *Networks) lockRecord(record string) (unlock func(), err error) {
	return durable.Lock(filepath.Dir(record))
}

// nameNamespace makes the entry that ip-netns(8) shows. Where somebody else has the container's name, the short ID is added.
func (n *Networks) nameNamespace(r *Record) (name, warning string, err error) {
	if err := os.MkdirAll(n.config.NetnsDir, 0o755); err != nil {
		return "", "", fmt.Errorf("name network namespace: %w", err)
	}
	for _, name := range r.netnsNames() {
		path := filepath.Join(n.config.NetnsDir, name)
		if target, readErr := os.Readlink(path); readErr == nil && target == r.netnsTarget() {
			return name, "", nil // announced before: the sandbox outlived the container's first process
		}
		err = os.Symlink(r.netnsTarget(), path)
		if errors.Is(err, os.ErrExist) && abandoned(path) {
			// The rest of a container whose monitor was killed.
			if err = os.Remove(path); err == nil || errors.Is(err, os.ErrNotExist) {
				err = os.Symlink(r.netnsTarget(), path)
			}
		}
		if err == nil {
			if name != r.Spec.Name {
				warning = fmt.Sprintf("%s belongs to somebody else: the network namespace is called %s there",
					filepath.Join(n.config.NetnsDir, r.Spec.Name), name)
			}
			return name, warning, nil
		}
		if !errors.Is(err, os.ErrExist) {
			break
		}
	}
	return "", "", fmt.Errorf("name network namespace: %w", err)
}

// netnsNames are the entries that a sandbox may have, in the order in which they are tried.
func (r *Record) netnsNames() []string {
	return []string{r.Spec.Name, r.Spec.Name + "-" + r.Spec.shortID()}
}

// netnsTarget is where the sandbox's entry leads: to the monitor's descriptor, so that it leads nowhere when that is gone.
func (r *Record) netnsTarget() string {
	return "/proc/" + strconv.Itoa(r.Owner.PID) + "/fd/" + strconv.Itoa(r.NetnsFD)
}

// abandoned tells whether an entry is a link to a descriptor of a process, as we make them, that leads nowhere any more, or to
// something that is no namespace, because the PID or the descriptor has been used again.
func abandoned(path string) bool {
	target, err := os.Readlink(path)
	if err != nil || !strings.HasPrefix(target, "/proc/") || !strings.Contains(target, "/fd/") {
		return false
	}
	now, err := os.Readlink(target)
	return err != nil || !strings.HasPrefix(now, "net:[")
}

// Teardown takes down the sandbox that the record describes: names, published ports, leases, the entry in NetnsDir, and the
// record itself, last. A nil error says that none of them is there, not that this call removed them: it may be called again,
// after a Setup that was killed half-way, and with namespace, bridge, rules or files gone. All steps are tried.
//
// It deletes no link: those end with the namespace, when its last descriptor and process do.
func (n *Networks) Teardown(record string) error {
	unlock, err := n.lockRecord(record)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	r, err := ReadRecord(record)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if errors.Is(err, durable.ErrDamaged) {
		// The leases still say whose it was. What else it named is recognised as dead by its owners.
		return errors.Join(n.forgetRecord(record), os.RemoveAll(record))
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range r.Endpoints {
		errs = append(errs, n.unname(r, e))
	}
	if rules := r.rules(); len(rules) > 0 {
		errs = append(errs, n.firewall.RemovePorts(rules))
	}
	// The leases go last: whoever has an address next is to get nothing that was meant for this container.
	for _, e := range r.Endpoints {
		errs = append(errs, n.release(r, e))
	}
	for _, name := range r.netnsNames() {
		path := filepath.Join(n.config.NetnsDir, name)
		if target, err := os.Readlink(path); err == nil && r.NetnsFD != 0 && target == r.netnsTarget() {
			errs = append(errs, removeFile(path))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("tear down network of %s: %w", r.Spec.Name, err)
	}
	return removeFile(record)
}

// unname takes an endpoint's names away.
func (n *Networks) unname(r *Record, e Endpoint) error {
	if len(e.DNSNames) == 0 {
		return nil
	}
	zone := n.zone(e.Network)
	var errs []error
	for _, p := range e.prefixes() {
		for _, name := range e.DNSNames {
			errs = append(errs, zone.Remove(name, p.Addr(), r.Spec.ID))
		}
		errs = append(errs, zone.RemoveReverse(p.Addr(), r.Spec.ID))
	}
	return errors.Join(errs...)
}

// release gives an endpoint's addresses back.
func (n *Networks) release(r *Record, e Endpoint) error {
	leases := n.leases(e.Network)
	if len(e.prefixes()) == 0 {
		// Setup was killed between the lease and its record.
		return leases.ReleaseAll(r.Spec.ID, r.leaser())
	}
	var errs []error
	if e.Bridge != "" {
		var has []netip.Addr // else it is done, and somebody else has the address
		for _, p := range e.prefixes() {
			if l, err := leases.Get(p.Addr()); err == nil && l.ID == r.Spec.ID {
				has = append(has, p.Addr())
			}
		}
		errs = append(errs, n.onHost(func(c *rtnl.Conn) error { return bridge{}.forgetNeighbours(c, e.Bridge, has) }), n.firewall.Forget(has...))
	}
	for _, p := range e.prefixes() {
		errs = append(errs, leases.Release(p.Addr(), r.Spec.ID, r.leaser()))
	}
	if e.Bridge != "" {
		errs = append(errs, n.closeGates(e.Network, e.Bridge))
	}
	return errors.Join(errs...)
}

// removeFile removes a file. One that is gone is good.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
