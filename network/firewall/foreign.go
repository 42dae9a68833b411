package firewall

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// Rules of others, in tables of others. A packet passes only if every base chain on the forward hook lets it pass: an accept
// of ours ends our own chain only. So where another chain drops what nobody accepted (the FORWARD chain of iptables with
// Docker or ufw, the filter of firewalld, a nftables.conf with a default of its own), our bridges need an accept there.

// gate is a base chain of somebody else on the forward hook that drops or rejects what it does not know.
type gate struct {
	base *nftables.Chain
	at   *nftables.Chain // where a mark belongs: the base chain, or the chain that Docker keeps for its user
	have []*nftables.Rule
	ufw  bool // ufw made it
}

func newGate(c *nftables.Chain, rules []*nftables.Rule) gate {
	return gate{base: c, at: c, have: rules, ufw: slices.ContainsFunc(rules, func(r *nftables.Rule) bool { return jumpsTo(r, "ufw") })}
}

// chainDockerUser is what Docker's rules pass first and Docker never flushes.
const chainDockerUser = "DOCKER-USER"

func (g gate) String() string {
	families := map[nftables.TableFamily]string{
		nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyINet: "inet",
	}
	return fmt.Sprintf("chain %q of table %s %q", g.base.Name, families[g.base.Table.Family], g.base.Table.Name)
}

// concerns tells whether a network's packets pass the gate.
func (g gate) concerns(n Network) bool {
	return g.base.Table.Family == nftables.TableFamilyINet || slices.ContainsFunc(n.elements(), func(e element) bool {
		return strings.HasPrefix(e.set, setOwn) && e.set == setOwn+g.version().suffix()
	})
}

// families returns those whose packets pass the gate.
func (g gate) families() Families {
	of := g.base.Table.Family
	return Families{IPv4: of != nftables.TableFamilyIPv6, IPv6: of != nftables.TableFamilyIPv4}
}

func (g gate) version() ipVersion {
	if g.base.Table.Family == nftables.TableFamilyIPv4 {
		return ip4
	}
	return ip6
}

// foreignChains returns the chains of others that packets to route may pass.
func (s *session) foreignChains() ([]*nftables.Chain, error) {
	chains, err := s.kernel.ListChains()
	if err != nil {
		return nil, fmt.Errorf("list chains: %w", err)
	}
	return slices.DeleteFunc(chains, func(c *nftables.Chain) bool {
		family := c.Table.Family
		routes := family == nftables.TableFamilyIPv4 || family == nftables.TableFamilyIPv6 || family == nftables.TableFamilyINet
		return !routes || c.Table.Name == s.table.Name
	}), nil
}

// gates returns the chains of others that drop what they do not know.
func (s *session) gates() ([]gate, error) {
	chains, err := s.foreignChains()
	if err != nil {
		return nil, err
	}
	var found []gate
	for _, c := range chains {
		if c.Type != nftables.ChainTypeFilter || !forwards(c) {
			continue
		}
		rules, err := s.kernel.GetRules(c.Table, c)
		if err != nil {
			continue // gone since
		}
		if !s.shut(c, rules) {
			continue
		}
		g := newGate(c, rules)
		user := slices.IndexFunc(chains, func(u *nftables.Chain) bool {
			return u.Table.Family == c.Table.Family && u.Table.Name == c.Table.Name && u.Name == chainDockerUser
		})
		if user >= 0 && slices.ContainsFunc(rules, func(r *nftables.Rule) bool { return jumpsTo(r, chainDockerUser) }) {
			g.at = chains[user]
			if g.have, err = s.kernel.GetRules(c.Table, g.at); err != nil {
				continue
			}
		}
		found = append(found, g)
	}
	return found, nil
}

// forwards tells whether a chain is on the forward hook.
func forwards(c *nftables.Chain) bool {
	return c.Hooknum != nil && *c.Hooknum == *nftables.ChainHookForward
}

// jumpsTo tells whether a rule jumps to a chain whose name begins so.
func jumpsTo(r *nftables.Rule, chain string) bool {
	return slices.ContainsFunc(r.Exprs, func(e expr.Any) bool {
		v, ok := e.(*expr.Verdict)
		return ok && v.Kind == expr.VerdictJump && strings.HasPrefix(v.Chain, chain)
	})
}

// marks returns the two rules for a bridge, by their direction: "iifname BRIDGE accept" and "oifname BRIDGE accept". The
// counter is what iptables puts into each of its rules: it lists and saves ours like its own.
func marks(bridge string) map[expr.MetaKey]statement {
	count := statement{&expr.Counter{}}
	return map[expr.MetaKey]statement{
		expr.MetaKeyIIFNAME: slices.Concat(is(iifname, ifname(bridge)), count, accept()),
		expr.MetaKeyOIFNAME: slices.Concat(is(oifname, ifname(bridge)), count, accept()),
	}
}

// marked tells whether a rule is a mark of this installation, and for which bridge and direction. Once iptables has saved
// and restored a mark, its comment is an extension of iptables.
func (f *Firewall) marked(r *nftables.Rule) (bridge string, direction expr.MetaKey, ok bool) {
	comment, _ := userdata.GetString(r.UserData, userdata.TypeComment)
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Match:
			if text, ok := e.Info.(*xt.Comment); ok {
				comment, _, _ = strings.Cut(string(*text), "\x00")
			}
		case *expr.Meta:
			direction = e.Key
		case *expr.Cmp:
			if bridge == "" {
				bridge = string(bytes.TrimRight(e.Data, "\x00"))
			}
		}
	}
	return bridge, direction, strings.TrimRight(comment, "\x00") == f.table && bridge != ""
}

// missing returns the marks that a gate lacks for a bridge.
func (f *Firewall) missing(g gate, bridge string) []statement {
	var list []statement
	for key, m := range marks(bridge) {
		if !slices.ContainsFunc(g.have, func(r *nftables.Rule) bool {
			b, k, ok := f.marked(r)
			return ok && b == bridge && k == key
		}) {
			list = append(list, m)
		}
	}
	return list
}

// mark lets a network's packets pass the gates of others. A table that belongs to a running program (firewalld) refuses:
// that is a finding of Check, not an error, since the network works inside its bridge. It tells whether anything was missing.
func (f *Firewall) mark(s *session, n Network) (missed bool, err error) {
	gates, err := s.gates()
	if err != nil {
		return false, err
	}
	for _, g := range gates {
		if !g.concerns(n) {
			continue
		}
		missing := f.missing(g, n.Bridge)
		if len(missing) == 0 {
			continue
		}
		if n.Opening != nil {
			if err := n.Opening(); err != nil {
				return missed, err
			}
		}
		for _, m := range missing {
			s.gathered.InsertRule(&nftables.Rule{Table: g.at.Table, Chain: g.at, Exprs: m, UserData: commentData(f.table)})
		}
		// Each gate by itself: one that refuses does not keep the others shut.
		err := s.commit()
		refused := errors.Is(err, os.ErrPermission) || errors.Is(err, unix.ENOENT)
		if err != nil && !refused {
			return missed, fmt.Errorf("open %s: %w", g, err)
		}
		missed = missed || !refused
	}
	return missed, nil
}

// Close takes back what AddNetwork did to rules of others for a network, when nobody is on it any more.
func (f *Firewall) Close(bridge string) error {
	if err := f.unmark(bridge); err != nil {
		return fmt.Errorf("close rules of others for %q: %w", bridge, err)
	}
	return nil
}

// unmark takes back what mark did for a bridge; unmarkAll for all bridges.
func (f *Firewall) unmark(bridge string) error {
	return f.removeMarks(func(b string) bool { return b == bridge })
}

func (f *Firewall) unmarkAll() error {
	return f.removeMarks(func(string) bool { return true })
}

// removeMarks looks into every chain that a mark may be in, whatever its policy is by now.
func (f *Firewall) removeMarks(chosen func(bridge string) bool) error {
	return f.update(func(s *session) (bool, error) {
		chains, err := s.foreignChains()
		if err != nil {
			return false, err
		}
		var found bool
		for _, c := range chains {
			if !forwards(c) && c.Name != chainDockerUser {
				continue
			}
			rules, err := s.kernel.GetRules(c.Table, c)
			if err != nil {
				continue // gone since, and its rules with it
			}
			for _, r := range rules {
				if bridge, _, ok := f.marked(r); ok && chosen(bridge) {
					found = true
					if err := s.gathered.DelRule(&nftables.Rule{Table: c.Table, Chain: c, Handle: r.Handle}); err != nil {
						return false, fmt.Errorf("encode rule: %w", err)
					}
				}
			}
		}
		return found, nil
	})
}
