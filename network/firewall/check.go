package firewall

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Finding is a difference between what should be and what the kernel has.
type Finding struct {
	Text string // in words
	Cure bool   // Repair cures it; else somebody else's rules are in the way
	// Stops are the families of which rules of others certainly stop something.
	Stops Families
}

// Families are none, one or both of IPv4 and IPv6.
type Families struct{ IPv4, IPv6 bool }

// Has tells whether a family is among them.
func (f Families) Has(six bool) bool { return six && f.IPv6 || !six && f.IPv4 }

// Or returns what is among one or the other.
func (f Families) Or(g Families) Families { return Families{f.IPv4 || g.IPv4, f.IPv6 || g.IPv6} }

// Check compares what should be with what the kernel has: all networks and all published ports of the installation. No
// findings: all is well.
func (f *Firewall) Check(networks []Network, ports []Port) ([]Finding, error) {
	s, err := dial(f.ns, nftables.TableFamilyINet, f.table)
	if err != nil {
		return nil, fmt.Errorf("check firewall: %w", err)
	}
	defer s.close()
	findings, err := s.checkTable(tableOf(f.table), f.wanted(networks, ports))
	if err == nil {
		var others []Finding
		others, err = f.checkOthers(s, networks)
		findings = append(findings, others...)
	}
	if err != nil {
		return nil, fmt.Errorf("check firewall: %w", err)
	}
	return findings, nil
}

// wanted returns all elements of networks and ports.
func (f *Firewall) wanted(networks []Network, ports []Port) []element {
	var list []element
	for _, n := range networks {
		list = append(list, n.elements()...)
	}
	return append(list, f.portElements(ports)...)
}

// checkTable compares our table with what it should be.
func (s *session) checkTable(rs ruleset, want []element) ([]Finding, error) {
	_, err := s.kernel.ListTableOfFamily(s.table.Name, s.table.Family)
	if errors.Is(err, unix.ENOENT) {
		if len(want) == 0 {
			return nil, nil // not a single network yet
		}
		return cured("table inet %s is missing: published ports are served by the proxy only, and networks are not isolated", s.table.Name), nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for table %q: %w", s.table.Name, err)
	}
	var findings []Finding
	for _, c := range rs.chains {
		findings = append(findings, s.checkChain(c)...)
	}
	var have []element
	for _, st := range rs.sets {
		found, err := s.elements(st.name)
		if errors.Is(err, unix.ENOENT) {
			findings = append(findings, cured("set %s is missing from table inet %s", st.name, s.table.Name)...)
			want = slices.DeleteFunc(want, func(e element) bool { return e.set == st.name })
			continue
		}
		if err != nil {
			return nil, err
		}
		have = append(have, found...)
	}
	remove, add := difference(have, want)
	for _, e := range add {
		findings = append(findings, cured("set %s lacks %s", e.set, e)...)
	}
	for _, e := range remove {
		if !slices.ContainsFunc(add, func(a element) bool { return a.id() == e.id() }) {
			findings = append(findings, cured("set %s has %s, which belongs to no network or port", e.set, e)...)
		}
	}
	return findings, nil
}

// checkChain compares one chain with what it should be. One that is missing has no rules, as far as the kernel tells.
func (s *session) checkChain(c chain) []Finding {
	have, err := s.kernel.GetRules(s.table, &nftables.Chain{Name: c.name})
	if err != nil || !slices.EqualFunc(have, c.rules, func(h *nftables.Rule, w rule) bool {
		return slices.EqualFunc(h.Exprs, w.statements, func(a, b expr.Any) bool { return equal(byte(s.table.Family), a, b) })
	}) {
		return cured("chain %s of table inet %s is not as it was made", c.name, s.table.Name)
	}
	return nil
}

// equal compares expressions by what goes to the kernel.
func equal(family byte, a, b expr.Any) bool {
	x, err1 := expr.Marshal(family, normal(a))
	y, err2 := expr.Marshal(family, normal(b))
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

// normal takes away what differs only on the way back: the number that a set had in its transaction, and the ends of
// ranges of one address.
func normal(e expr.Any) expr.Any {
	switch e := e.(type) {
	case *expr.Lookup:
		copied := *e
		copied.SetID = 0
		return &copied
	case *expr.NAT:
		return &expr.NAT{Type: e.Type, Family: e.Family, RegAddrMin: e.RegAddrMin, RegProtoMin: e.RegProtoMin}
	}
	return e
}

func cured(format string, args ...any) []Finding {
	return []Finding{{Text: fmt.Sprintf(format, args...), Cure: true}}
}

// Barriers returns the rules of others that keep packets of networks out.
func (f *Firewall) Barriers(networks []Network) ([]Finding, error) {
	s, err := dial(f.ns, nftables.TableFamilyINet, f.table)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return f.checkOthers(s, networks)
}

// checkOthers looks for rules of others that keep our packets out.
func (f *Firewall) checkOthers(s *session, networks []Network) ([]Finding, error) {
	var findings []Finding
	networks = slices.DeleteFunc(slices.Clone(networks), func(n Network) bool { return n.Idle })
	for _, t := range f.legacyFilters() {
		findings = append(findings, t.check(networks)...)
	}
	gates, err := s.gates()
	if err != nil {
		return nil, err
	}
	for _, g := range gates {
		for _, n := range networks {
			if g.concerns(n) && len(f.missing(g, n.Bridge)) > 0 && !s.trusts(g, n.Bridge) {
				findings = append(findings, s.barrier(g, n.Bridge))
			}
		}
	}
	return findings, nil
}

// barrier says that a gate does not let a bridge pass, and what to do where we may not do it.
func (s *session) barrier(g gate, bridge string) Finding {
	f := Finding{Text: fmt.Sprintf("%s drops what comes from or goes to %s", g, bridge), Cure: !s.owned(g.base.Table), Stops: g.families()}
	if !f.Cure {
		f.Text += ", and belongs to a running program, which alone may change it"
	}
	switch {
	case g.base.Table.Name == "firewalld":
		f.Text += fmt.Sprintf("; to have firewalld itself let it pass: firewall-cmd --permanent --zone=trusted --add-interface=%s && firewall-cmd --reload", bridge)
	case g.ufw:
		f.Text += fmt.Sprintf("; to have ufw itself let it pass: ufw route allow in on %s && ufw route allow out on %[1]s", bridge)
	}
	return f
}

// trusts tells whether the owner of a gate has been told to let a bridge pass: firewalld, by putting it into the zone
// "trusted" (what a connection or a published port brings in, it accepts anyway), ufw by a route rule for each direction.
func (s *session) trusts(g gate, bridge string) bool {
	chains, err := s.foreignChains()
	if err != nil {
		return false
	}
	var in, out bool
	for _, c := range chains {
		if c.Table.Name != g.base.Table.Name || c.Table.Family != g.base.Table.Family {
			continue
		}
		rules, err := s.kernel.GetRules(c.Table, c)
		if err != nil {
			continue // gone since
		}
		for _, r := range rules {
			switch direction, zone := welcomes(r, bridge); {
			case zone:
				return true
			case !g.ufw || c == g.base:
			case direction == expr.MetaKeyIIFNAME:
				in = true
			case direction == expr.MetaKeyOIFNAME:
				out = true
			}
		}
	}
	return in && out
}

// welcomes tells whether a rule is `iifname BRIDGE accept` or `oifname BRIDGE accept`, and by which, or zone: `iifname BRIDGE
// goto ..._trusted`.
func welcomes(r *nftables.Rule, bridge string) (direction expr.MetaKey, zone bool) {
	var here bool
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Counter:
		case *expr.Meta:
			direction = e.Key
		case *expr.Cmp:
			here = e.Op == expr.CmpOpEq && string(bytes.TrimRight(e.Data, "\x00")) == bridge
		case *expr.Verdict:
			zone = here && direction == expr.MetaKeyIIFNAME && strings.HasSuffix(e.Chain, "_trusted")
			here = here && (zone || e.Kind == expr.VerdictAccept)
		default:
			return 0, false
		}
	}
	if !here {
		return 0, false
	}
	return direction, zone
}

// owned tells whether a table belongs to a running program, which the kernel lets nobody else change (NFT_TABLE_F_OWNER).
func (s *session) owned(t *nftables.Table) bool {
	const owner = 2
	table, err := s.kernel.ListTableOfFamily(t.Name, t.Family)
	if err != nil {
		return false
	}
	// The library reads the number in the machine's byte order. The kernel writes it in the network's.
	flags := binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, table.Flags))
	return flags&owner != 0
}

// Repair makes the table again with exactly the networks and ports that wanted returns, in one transaction, and lets the
// networks pass rules of others again. Connections survive it. Whoever adds or removes rules while wanted looks makes it be
// called again: what was on disk before its rules were set is not lost.
func (f *Firewall) Repair(wanted func() ([]Network, []Port, error)) error {
	var networks []Network
	err := f.update(func(s *session) (bool, error) {
		var ports []Port
		var err error
		if networks, ports, err = wanted(); err != nil {
			return false, err
		}
		s.gathered.AddTable(s.table)
		s.gathered.DelTable(s.table)
		return true, errors.Join(s.install(tableOf(f.table)), s.add(f.wanted(networks, ports)))
	})
	if err != nil {
		return fmt.Errorf("repair firewall table %q: %w", f.table, f.explain(err))
	}
	err = f.ForgetIntruders(networks)
	for _, n := range networks {
		err = errors.Join(err, f.open(n))
	}
	if err != nil {
		return fmt.Errorf("repair firewall: %w", err)
	}
	return nil
}

// String says what an element is about.
func (e element) String() string {
	owner := ""
	if e.comment != "" && e.set != setNetworks {
		owner = e.comment
	}
	switch {
	case slices.Contains(portSets(), e.set):
		key := []byte(e.key)[len(e.key)-8:] // protocol and port, each padded to 4 bytes
		text := fmt.Sprintf("port %d/%s", binary.BigEndian.Uint16(key[4:]), protocolName(key[0]))
		if owner != "" {
			text += " of " + owner
		}
		return text
	case owner != "":
		return owner
	case strings.HasPrefix(e.set, setGuarded), strings.HasPrefix(e.set, setMasqueraded):
		address, _ := netip.AddrFromSlice([]byte(e.key))
		return "what begins at " + address.String()
	}
	return strings.TrimRight(e.key[:unix.IFNAMSIZ], "\x00")
}

func protocolName(number byte) Protocol {
	for name, n := range protocols {
		if n == number {
			return name
		}
	}
	return Protocol(fmt.Sprint(number))
}
