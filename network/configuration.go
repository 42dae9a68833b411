package network

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ctr/internal/durable"
)

// A configuration is a network in name only, Docker's --config-only: it lends its families, subnets, labels and options to
// networks that are made from it, and has no device, rule, address or container. They keep what they were given.

// checkConfiguration refuses what a configuration cannot hold, in Docker's words.
func (s *Spec) checkConfiguration() error {
	switch {
	case s.ConfigFrom != "":
		return fmt.Errorf("%w: a configuration network cannot depend on another configuration network", ErrInvalid)
	case s.Internal || s.Attachable:
		return fmt.Errorf("%w: configuration network can only contain network specific fields. "+
			"Network operator fields like [ ingress | internal | attachable | scope ] are not supported", ErrInvalid)
	}
	return nil
}

// configure gives a network what the configuration that it is made from says.
func (n *Networks) configure(s *Spec) error {
	switch {
	case len(s.Options) > 0:
		return fmt.Errorf("%w: network driver options are not supported if the network depends on a configuration network", ErrInvalid)
	case !s.IPv4 || s.IPv6 || len(s.Subnets) > 0 || len(s.Labels) > 0:
		return fmt.Errorf("%w: user specified configurations are not supported if the network depends on a configuration network", ErrInvalid)
	}
	from, err := n.Find(s.ConfigFrom)
	if err != nil {
		return err
	}
	if !from.ConfigOnly {
		return fmt.Errorf("%w: network %s is not a configuration, which 'ctr network create --config-only' makes", ErrInvalid, from.Name)
	}
	s.ConfigFrom, s.IPv4, s.IPv6 = from.Name, from.IPv4, from.IPv6
	s.Subnets, s.Labels, s.Options = slices.Clone(from.Subnets), maps.Clone(from.Labels), maps.Clone(from.Options)
	return nil
}

// lent refuses to remove a configuration that networks were made from. The caller holds the lock.
func (n *Networks) lent(s Spec) error {
	if !s.ConfigOnly {
		return nil
	}
	all, err := n.list()
	if err != nil && !errors.Is(err, durable.ErrDamaged) {
		return err
	}
	var users []string
	for _, o := range all {
		if o.ConfigFrom == s.Name {
			users = append(users, o.Name)
		}
	}
	if len(users) > 0 {
		return fmt.Errorf("configuration network %q is in use by network %s", s.Name, strings.Join(users, ", "))
	}
	return nil
}
