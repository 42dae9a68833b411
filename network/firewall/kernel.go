package firewall

import (
	"errors"
	"fmt"
	"os"

	"github.com/google/nftables"
)

// explain says in words what the kernel lacks, if that is why it refused our rules: its own answer is a bare ENOENT or
// EOPNOTSUPP for the whole transaction.
func (f *Firewall) explain(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return err
	}
	return explain(err, func(t ruleset) error {
		s, err := dial(f.ns, t.family, t.name)
		if err != nil {
			return err
		}
		defer s.close()
		if err := s.install(t); err != nil {
			return err
		}
		s.gathered.DelTable(s.table) // in the same transaction: the table is never seen
		return s.commit()
	})
}

// explain tries what the rules are made of, one by one, and names the first part that the kernel refuses.
func explain(err error, try func(ruleset) error) error {
	for _, part := range parts() {
		if try(part.table) != nil {
			return fmt.Errorf("%s %w: build it with %s: %w", part.what, ErrUnsupported, part.option, err)
		}
	}
	return err
}

// part is one thing that the rules need of the kernel.
type part struct {
	what, option string
	table        ruleset
}

func parts() []part {
	const name = "ctr-probe"
	filter := func(statements ...statement) ruleset {
		return ruleset{family: nftables.TableFamilyINet, name: name, chains: []chain{{
			name: "probe", kind: nftables.ChainTypeFilter, hook: nftables.ChainHookPrerouting,
			priority: nftables.ChainPriorityFilter, rules: []rule{because("", statements...)},
		}}}
	}
	nat := func(s statement) ruleset {
		return ruleset{family: nftables.TableFamilyINet, name: name, chains: []chain{{
			name: "probe", kind: nftables.ChainTypeNAT, hook: nftables.ChainHookPostrouting,
			priority: nftables.ChainPriorityNATSource, rules: []rule{because("", s)},
		}}}
	}
	lo := ruleset{family: nftables.TableFamilyNetdev, name: name, chains: []chain{{
		name: "probe", kind: nftables.ChainTypeFilter, device: "lo",
		hook: nftables.ChainHookIngress, priority: nftables.ChainPriorityFilter,
	}}}
	sets := tableOf(name)
	sets.chains = nil
	return []part{
		{"nftables", "CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET", ruleset{family: nftables.TableFamilyINet, name: name}},
		{"nftables on what a device delivers", "CONFIG_NF_TABLES_NETDEV and CONFIG_NETFILTER_INGRESS", lo},
		{"connection tracking in nftables", "CONFIG_NFT_CT", filter(ctEstablished(), accept())},
		{"fib in nftables", "CONFIG_NFT_FIB_INET", filter(fibLocal(), accept())},
		{"nat in nftables of the inet family (Linux 5.2)", "CONFIG_NFT_NAT", nat(nil)},
		{"masquerading in nftables", "CONFIG_NFT_MASQ", nat(masquerade())},
		{"sets of concatenated ranges (Linux 5.6)", "CONFIG_NF_TABLES", sets},
	}
}

// Supported returns nil if the kernel has all that the rules need, else an error that says what is missing and wraps
// ErrUnsupported.
func (f *Firewall) Supported() error {
	err := f.explain(ErrUnsupported)
	if err == ErrUnsupported { //nolint:errorlint // What explain returns as it is when no part is missing.
		return nil
	}
	return err
}
