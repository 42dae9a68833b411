package firewall

import (
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// fate is what becomes of a packet in a chain.
type fate int

const (
	returned fate = iota // to the chain that jumped here; a base chain has a policy for it
	accepted
	dropped
)

// maxJumps is how many chains the kernel lets jump into each other (NFT_JUMP_STACK_SIZE).
const maxJumps = 16

// shut tells whether a base chain drops or rejects a packet that none of its conditions is about. Most that do have a policy for it,
// or a last rule: then the chains that it jumps to need not be read.
func (s *session) shut(c *nftables.Chain, rules []*nftables.Rule) bool {
	switch {
	case c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop:
		return true
	case len(rules) == 0:
		return false
	}
	last := unconditional(rules[len(rules)-1])
	return last != nil && last.Kind == expr.VerdictDrop || s.follow(c.Table, rules, maxJumps) == dropped
}

// follow goes through the rules of a chain, and those that it jumps to, with such a packet.
func (s *session) follow(t *nftables.Table, rules []*nftables.Rule, jumps int) fate {
	for _, r := range rules {
		v := unconditional(r)
		switch {
		case v == nil:
		case v.Kind == expr.VerdictAccept:
			return accepted
		case v.Kind == expr.VerdictDrop:
			return dropped
		case v.Kind == expr.VerdictReturn:
			return returned
		case v.Chain != "" && jumps > 0:
			next, err := s.kernel.GetRules(t, &nftables.Chain{Table: t, Name: v.Chain})
			if err != nil {
				return returned // gone since
			}
			if f := s.follow(t, next, jumps-1); f != returned || v.Kind == expr.VerdictGoto {
				return f
			}
		}
	}
	return returned
}

// unconditional returns what a rule does with every packet; nil if it does nothing, or asks something first. To reject is to drop.
func unconditional(r *nftables.Rule) *expr.Verdict {
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Counter, *expr.Log:
		case *expr.Verdict:
			return e
		case *expr.Reject:
			return verdict(expr.VerdictDrop, "")
		case *expr.Target: // of iptables
			if e.Name == "REJECT" {
				return verdict(expr.VerdictDrop, "")
			}
		case *expr.Match: // of iptables, too
			if e.Name != "comment" {
				return nil
			}
		default:
			return nil
		}
	}
	return nil
}
