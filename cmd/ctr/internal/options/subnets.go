package options

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"ctr/network"
)

// Subnets joins --subnet, --gateway, --ip-range and --aux-address of `network create`: each of the latter belongs to the
// subnet that it lies in. Whether the subnets suit the network is for the network to say.
func Subnets(prefixes, gateways, ranges, aux []string) ([]network.Subnet, error) {
	var all []network.Subnet
	for _, text := range prefixes {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("invalid subnet %s: invalid CIDR address: %s", text, text)
		}
		for _, other := range all {
			if p.Overlaps(other.Prefix) {
				return nil, errors.New("multiple overlapping subnet configuration is not supported")
			}
		}
		all = append(all, network.Subnet{Prefix: p})
	}
	within := func(a netip.Addr) *network.Subnet {
		for i := range all {
			if all[i].Prefix.Contains(a) {
				return &all[i]
			}
		}
		return nil
	}
	if err := ipRanges(ranges, within); err != nil {
		return nil, err
	}
	for _, text := range gateways {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("invalid gateway address: %s", text)
		}
		s := within(a)
		if s == nil {
			return nil, fmt.Errorf("no matching subnet for gateway %s", text)
		}
		if s.Gateway.IsValid() {
			return nil, fmt.Errorf("cannot configure multiple gateways (%s, %s) for the same subnet", s.Gateway, a)
		}
		s.Gateway = a
	}
	return all, auxiliary(aux, within)
}

func ipRanges(ranges []string, within func(netip.Addr) *network.Subnet) error {
	for _, text := range ranges {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("invalid ip-range %s: invalid CIDR address: %s", text, text)
		}
		s := within(p.Addr())
		if s == nil || p.Bits() < s.Prefix.Bits() {
			return fmt.Errorf("no matching subnet for range %s", text)
		}
		if s.Range.IsValid() {
			return fmt.Errorf("cannot configure multiple ranges (%s, %s) on the same subnet (%s)", p, s.Range, s.Prefix)
		}
		s.Range = p.Masked()
	}
	return nil
}

func auxiliary(aux []string, within func(netip.Addr) *network.Subnet) error {
	seen := map[string]bool{}
	for _, text := range aux {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return fmt.Errorf("invalid aux-address %q: want NAME=ADDRESS", text)
		}
		a, err := netip.ParseAddr(value)
		if err != nil {
			return fmt.Errorf("invalid aux-address %q: want NAME=ADDRESS", text)
		}
		s := within(a)
		if s == nil {
			return fmt.Errorf("no matching subnet for aux-address %s", value)
		}
		if seen[name] {
			return fmt.Errorf("invalid aux-address %q: there is another one of that name", text)
		}
		seen[name] = true
		if s.Auxiliary == nil {
			s.Auxiliary = map[string]netip.Addr{}
		}
		s.Auxiliary[name] = a
	}
	return nil
}

// DriverOptions parses all -o of `network create`: NAME=VALUE, or NAME alone.
func DriverOptions(texts []string) (map[string]string, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	all := map[string]string{}
	for _, text := range texts {
		name, value, _ := strings.Cut(text, "=")
		if name == "" {
			return nil, Invalid(text, "-o, --opt", errors.New("a name is missing"))
		}
		all[name] = value
	}
	return all, nil
}
