package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ctr/internal/durable"
	"ctr/internal/proc"
	"ctr/network/firewall"
	"ctr/network/rtnl"
)

// Finding is a difference between what should be and what is.
type Finding struct {
	Network   string `json:"network,omitempty"`   // the name of the one that it is about
	Container string `json:"container,omitempty"` // the name of the one that it is about
	Text      string `json:"text"`                // in words
	Cure      bool   `json:"cure"`                // Repair cures it
}

// meanwhile is how long a container that starts or ends may take from one step to the next.
const meanwhile = 200 * time.Millisecond

// Check compares what should be with what the host has: the devices of all networks that were made since the boot, their
// addresses, settings and rules, and what belongs to each running container. No findings: all is well. It changes nothing.
func (n *Networks) Check(ctx context.Context) ([]Finding, error) {
	s, err := n.survey()
	if err != nil || len(s.findings) == 0 {
		return nil, err
	}
	// What somebody is just making or taking down is not a difference.
	select {
	case <-time.After(meanwhile):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	again, err := n.survey()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(again.findings, func(f Finding) bool { return !slices.Contains(s.findings, f) }), nil
}

// survey is one look at the host.
type survey struct {
	*Networks
	specs    []Spec    // that were made since the boot
	records  []*Record // of containers that run
	findings []Finding
	rules    bool // the firewall has something to cure

	hosts      []taken                          // what the host leads to its links
	forwarding map[int][]string                 // MACs that bridges were told, by their ports
	neighbours map[string]map[netip.Addr]string // MACs that the host was told, by the ID of the network
}

// survey looks at everything.
func (n *Networks) survey() (*survey, error) {
	s := &survey{Networks: n, neighbours: map[string]map[netip.Addr]string{}}
	if err := s.read(); err != nil {
		return nil, err
	}
	err := n.onHost(func(c *rtnl.Conn) (err error) {
		if s.forwarding, err = c.Forwarding(); err != nil {
			return err
		}
		if s.hosts, err = s.reserved(c); err != nil {
			return err
		}
		for _, one := range s.specs {
			if err := s.checkNetwork(c, one); err != nil {
				return fmt.Errorf("check network %s: %w", one.Name, err)
			}
		}
		for _, r := range s.records {
			if err := s.checkContainer(c, r); err != nil {
				return fmt.Errorf("check network of %s: %w", r.Spec.Name, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, s.checkRules()
}

// read reads the records of the networks and of the containers. A network has the folder of its leases from when its device is
// made until the next boot: before that nothing is missing.
func (s *survey) read() error {
	all, err := s.list()
	if errors.Is(err, durable.ErrDamaged) {
		s.add(Finding{Text: err.Error()})
	} else if err != nil {
		return err
	}
	for _, one := range all {
		if _, err := os.Stat(s.leases(one.ID).Dir); err == nil {
			s.specs = append(s.specs, one)
		}
	}
	paths, err := filepath.Glob(s.config.Sandboxes)
	if err != nil {
		return err
	}
	for _, path := range paths {
		r, err := ReadRecord(path)
		if err == nil && r.Init != (proc.ID{}) && r.alive() {
			s.records = append(s.records, r)
		}
	}
	return nil
}

func (s *survey) add(f Finding) { s.findings = append(s.findings, f) }

// checkNetwork looks at a network's device.
func (s *survey) checkNetwork(c *rtnl.Conn, one Spec) error {
	found := func(cure bool, format string, args ...any) {
		s.add(Finding{Network: one.Name, Text: "network " + one.Name + ": " + fmt.Sprintf(format, args...), Cure: cure})
	}
	if one.Bridge == "" {
		return s.checkParent(c, one, found)
	}
	l, err := c.Link(one.Bridge)
	switch {
	case errors.Is(err, rtnl.ErrNotFound):
		found(true, "bridge %s is missing", one.Bridge)
		return nil
	case err != nil:
		return err
	case !(bridge{}).recognise(l, one, s.config.Tag):
		found(false, "%s %s belongs to somebody else", cmp.Or(l.Kind, "link"), one.Bridge)
		return nil
	case !l.Up:
		found(true, "bridge %s is down", one.Bridge)
	}
	have, err := c.Addrs(l.Index)
	if err != nil {
		return err
	}
	for _, p := range one.bridgeAddrs() {
		if !slices.Contains(have, p) {
			found(true, "bridge %s lacks the address %s", one.Bridge, p)
		}
	}
	own, host := one.sysctls()
	for _, settings := range []map[string]string{own, host} {
		for _, key := range slices.Sorted(maps.Keys(settings)) {
			if is, known := sysctl(key); known && is != settings[key] {
				found(true, "sysctl net/%s is %s, not %s", key, is, settings[key])
			}
		}
	}
	for _, t := range s.hosts {
		if t.link != 0 && t.link != l.Index && one.holds(t.prefix) {
			found(false, "%s, too: containers there are not reached", t.why)
		}
	}
	s.neighbours[one.ID], err = c.Neighbours(l.Index)
	return err
}

// holds tells whether addresses are all in one of a network's subnets.
func (s Spec) holds(p netip.Prefix) bool {
	return slices.ContainsFunc(s.Subnets, func(sub Subnet) bool {
		return sub.Prefix.Contains(p.Addr()) && sub.Prefix.Bits() <= p.Bits()
	})
}

// checkParent looks at the link that a macvlan or ipvlan network hangs on.
func (s *survey) checkParent(c *rtnl.Conn, one Spec, found func(cure bool, format string, args ...any)) error {
	o, err := one.options()
	if err != nil || o.parent == "" {
		return err
	}
	_, err = c.Link(o.parent)
	if !errors.Is(err, rtnl.ErrNotFound) {
		return err
	}
	on, _, err := vlanOf(o.parent)
	vlan := on != "" && err == nil
	if vlan {
		_, err = c.Link(on)
		vlan = err == nil
	}
	found(vlan, "its parent %s is missing", o.parent)
	return nil
}

// checkContainer looks at what belongs to a running container.
func (s *survey) checkContainer(c *rtnl.Conn, r *Record) error {
	found := func(e Endpoint, cure bool, format string, args ...any) {
		s.add(Finding{Network: e.Name, Container: r.Spec.Name, Text: "container " + r.Spec.Name + ": " + fmt.Sprintf(format, args...), Cure: cure})
	}
	for _, e := range r.Endpoints {
		if err := s.checkPort(c, r, e, found); err != nil {
			return err
		}
		for _, p := range e.prefixes() {
			l, err := s.leases(e.Network).Get(p.Addr())
			switch {
			case errors.Is(err, os.ErrNotExist):
				found(e, true, "its lease of %s is missing", p.Addr())
			case err != nil:
				return err
			case l.ID != r.Spec.ID && l.Alive():
				found(e, false, "its address %s has been given to %s as well", p.Addr(), l.Name)
			}
			for _, name := range e.DNSNames {
				if !r.Init.Alive() {
					break // it is being started again
				}
				entries, _, err := s.zone(e.Network).Lookup(name)
				if err != nil {
					return err
				}
				missing := true
				for _, entry := range entries {
					missing = missing && entry.Addr != p.Addr()
				}
				if missing {
					found(e, true, "the name %s on network %s does not lead to %s", name, e.Name, p.Addr())
				}
			}
		}
	}
	if err := s.checkResolver(r, found); err != nil {
		return err
	}
	path := filepath.Join(s.config.NetnsDir, r.NetnsName)
	if r.NetnsName == "" || !r.Owner.Alive() {
		return nil
	}
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		found(Endpoint{}, true, "%s is missing: ip netns does not show it", path)
	}
	return nil
}

// wanted returns what the firewall should have.
func (s *survey) wanted() (networks []firewall.Network, ports []firewall.Port) {
	for _, one := range s.specs {
		if f, err := s.rulesOf(one); err == nil && f.Bridge != "" {
			used, err := s.inUse(one.ID)
			f.Idle = err == nil && !used
			networks = append(networks, f)
		}
	}
	for _, r := range s.records {
		ports = append(ports, r.rules()...)
	}
	return networks, ports
}

// checkRules compares the firewall with what it should be.
func (s *survey) checkRules() error {
	all, err := s.firewall.Check(s.wanted())
	for _, f := range all {
		for _, r := range s.records {
			f.Text = strings.ReplaceAll(f.Text, r.Spec.ID, r.Spec.Name)
		}
		s.add(Finding{Text: "firewall: " + f.Text, Cure: f.Cure})
		s.rules = s.rules || f.Cure
	}
	return err
}
