package firewall

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Defaults of others for what comes to the host itself, and for what it sends. They are told of and left alone: neither sees a
// packet that is forwarded.

// Inputs returns, in words, the chains of others that let nothing in by default. They see no packet to a published port: it is
// forwarded, unless it comes from the host itself, or is for the proxy.
func (f *Firewall) Inputs() ([]Finding, error) {
	var found []Finding
	err := f.closed(nftables.ChainHookInput, func(_ *session, g gate) {
		found = append(found, Finding{Text: g.String(), Stops: g.families()})
	})
	if err != nil {
		return nil, err
	}
	for _, t := range f.legacyFilters() {
		if drops, err := t.drops(legacyInput, passage{}); err == nil && drops {
			found = append(found, Finding{Text: fmt.Sprintf("chain \"INPUT\" of %s", t.tool), Stops: t.families()})
		}
	}
	return found, nil
}

// Outputs returns, in sentences, the chains of others that let nothing out by default, and out by a network's bridge neither. They
// see what the proxy sends to containers; what is led there by rules, from the host too, goes out by "lo" as far as they know.
func (f *Firewall) Outputs(n Network) ([]Finding, error) {
	var found []Finding
	tell := func(chain string, of Families, cure string) {
		found = append(found, Finding{Stops: of, Text: fmt.Sprintf("%s lets nothing out by default: 127.0.0.1, [::1] and whoever else the proxy "+
			"serves reach no container before it lets pass what goes out by %s%s", chain, n.Bridge, cure)})
	}
	err := f.closed(nftables.ChainHookOutput, func(s *session, g gate) {
		switch {
		case !g.concerns(n) || s.lets(g.base, n.Bridge, map[string]bool{}):
		case g.ufw:
			tell(g.String(), g.families(), ": ufw allow out on "+n.Bridge)
		default:
			tell(g.String(), g.families(), "")
		}
	})
	if err != nil {
		return nil, err
	}
	for _, t := range f.legacyFilters() {
		if drops, err := t.drops(legacyOutput, passage{out: n.Bridge}); err == nil && drops && t.concerns(n) {
			tell(fmt.Sprintf("chain \"OUTPUT\" of %s", t.tool), t.families(), fmt.Sprintf(": %s -I OUTPUT -o %s -j ACCEPT", t.tool, n.Bridge))
		}
	}
	return found, nil
}

// closed tells of each base chain of others at a hook that drops or rejects what it does not know.
func (f *Firewall) closed(hook *nftables.ChainHook, tell func(*session, gate)) error {
	s, err := dial(f.ns, nftables.TableFamilyINet, f.table)
	if err != nil {
		return err
	}
	defer s.close()
	chains, err := s.foreignChains()
	if err != nil {
		return err
	}
	for _, c := range chains {
		if c.Type != nftables.ChainTypeFilter || c.Hooknum == nil || *c.Hooknum != *hook {
			continue
		}
		rules, err := s.kernel.GetRules(c.Table, c)
		if err == nil && s.shut(c, rules) {
			tell(s, newGate(c, rules))
		}
	}
	return nil
}

// lets tells whether a chain, or one that it leads to, accepts all that goes out by a bridge.
func (s *session) lets(c *nftables.Chain, bridge string, seen map[string]bool) bool {
	if seen[c.Name] {
		return false
	}
	seen[c.Name] = true
	rules, err := s.kernel.GetRules(c.Table, c)
	if err != nil {
		return false // gone since
	}
	for _, r := range rules {
		if direction, _ := welcomes(r, bridge); direction == expr.MetaKeyOIFNAME {
			return true
		}
		for _, e := range r.Exprs {
			v, ok := e.(*expr.Verdict)
			if ok && v.Chain != "" && s.lets(&nftables.Chain{Table: c.Table, Name: v.Chain}, bridge, seen) {
				return true
			}
		}
	}
	return false
}
