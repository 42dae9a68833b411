package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/options"
	"ctr/network"
	"ctr/runtime/container"
)

// specNetwork reads the flags of networkFlags, and refuses what contradicts each other, in Docker's words.
func specNetwork(c *cli.Context, s *container.Spec) (err error) {
	n := &s.Network
	if len(c.StringSlice("link")) > 0 {
		return errLink
	}
	s.Hostname, s.Domainname = c.String("hostname"), c.String("domainname")
	if s.Hostname != "" {
		if err := options.Hostname(s.Hostname); err != nil {
			return err
		}
	}
	if n.Ports, err = options.Ports(c.StringSlice("publish")); err != nil {
		return err
	}
	if n.Expose, err = options.Expose(c.StringSlice("expose")); err != nil {
		return err
	}
	n.PublishAll = c.Bool("publish-all")
	if err := specResolver(c, n); err != nil {
		return err
	}
	if err := specEndpoints(c, n); err != nil {
		return err
	}
	return checkNetwork(s)
}

func specResolver(c *cli.Context, n *container.Network) error {
	for _, text := range c.StringSlice("dns") {
		addr, err := options.DNSServer(text)
		if err != nil {
			return err
		}
		n.Resolver.Servers = append(n.Resolver.Servers, addr)
	}
	for _, text := range c.StringSlice("dns-search") {
		domain, err := options.SearchDomain(text)
		if err != nil {
			return err
		}
		n.Resolver.Search = append(n.Resolver.Search, domain)
	}
	for _, text := range c.StringSlice("dns-option") {
		option, err := options.DNSOption(text)
		if err != nil {
			return err
		}
		n.Resolver.Options = append(n.Resolver.Options, option)
	}
	for _, text := range c.StringSlice("add-host") {
		host, err := options.AddHost(text)
		if err != nil {
			return err
		}
		n.ExtraHosts = append(n.ExtraHosts, host)
	}
	return nil
}

// specEndpoints reads --network and the flags that are about the first one of them.
func specEndpoints(c *cli.Context, n *container.Network) error {
	texts := c.StringSlice("network")
	if len(texts) == 0 {
		texts = []string{"bridge"}
	}
	var modes int
	for i, text := range texts {
		e, err := options.Attachment(text)
		if err != nil {
			return options.Invalid(text, "--network", err)
		}
		if e.Network == "default" {
			e.Network = "bridge"
		}
		if i == 0 {
			if err := firstEndpoint(c, &e); err != nil {
				return err
			}
		}
		if mode, ok := networkMode(e.Network); ok {
			n.Mode = mode
			modes++
			if err := checkMode(mode, e); err != nil {
				return err
			}
			continue
		}
		if slices.ContainsFunc(n.Endpoints, func(o network.EndpointSpec) bool { return o.Network == e.Network }) {
			return fmt.Errorf("network %q is specified multiple times", e.Network)
		}
		if e.Network == "bridge" && len(e.Aliases) > 0 {
			return errAliases
		}
		if e.Network == "bridge" && (e.IPv4.IsValid() || e.IPv6.IsValid()) {
			return errAddress
		}
		n.Endpoints = append(n.Endpoints, e)
	}
	if modes > 0 && len(texts) > 1 {
		return errors.New("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
	}
	return nil
}

var errLink = &hintedError{errors.New("--link is not supported"), "containers on one user-defined network find each other by name"}

var (
	errAliases = errors.New("network-scoped aliases are only supported for user-defined networks")
	errAddress = errors.New("user-specified IP address is supported on user-defined networks only")
)

// checkMode refuses what is asked of an endpoint that there will not be.
func checkMode(mode container.Mode, e network.EndpointSpec) error {
	_, joins := mode.Container()
	address := e.IPv4.IsValid() || e.IPv6.IsValid()
	switch {
	case len(e.Aliases) > 0:
		return errAliases
	case address && joins:
		return errors.New("conflicting options: IP address and the container type network mode")
	case address:
		return errAddress
	case e.MAC != "":
		return errors.New("conflicting options: mac-address and the network mode")
	case e.Interface != "" || e.GwPriority != 0 || len(e.DriverOpts) > 0:
		return errors.New("conflicting options: interface, gw-priority or driver-opt and the network mode")
	}
	return nil
}

// firstEndpoint applies the flags from the time when a container had one network.
func firstEndpoint(c *cli.Context, e *network.EndpointSpec) (err error) {
	if aliases := c.StringSlice("network-alias"); len(aliases) > 0 {
		if len(e.Aliases) > 0 {
			return errors.New("conflicting options: cannot specify both --network-alias and per-network alias")
		}
		e.Aliases = aliases
	}
	if ip := c.String("ip"); ip != "" {
		if e.IPv4.IsValid() {
			return errors.New("conflicting options: cannot specify both --ip and per-network IPv4 address")
		}
		if e.IPv4, err = options.IPv4(ip); err != nil {
			return err
		}
	}
	if ip := c.String("ip6"); ip != "" {
		if e.IPv6.IsValid() {
			return errors.New("conflicting options: cannot specify both --ip6 and per-network IPv6 address")
		}
		if e.IPv6, err = options.IPv6(ip); err != nil {
			return err
		}
	}
	if mac := c.String("mac-address"); mac != "" {
		if e.MAC != "" {
			return errors.New("conflicting options: cannot specify both --mac-address and per-network MAC address")
		}
		if e.MAC, err = options.MAC(mac); err != nil {
			return err
		}
	}
	return nil
}

// networkMode tells whether a --network is no network, but a way to go without one of one's own.
func networkMode(name string) (container.Mode, bool) {
	mode := container.Mode(name)
	switch {
	case mode == container.ModeHost, mode == container.ModeNone:
		return mode, true
	case strings.HasPrefix(name, string(container.ModeContainer)), strings.HasPrefix(name, string(container.ModePath)):
		return mode, true
	}
	return "", false
}

// checkNetwork refuses flags that make no sense with the network's mode.
func checkNetwork(s *container.Spec) error {
	n := s.Network
	if name, ok := n.Mode.Container(); ok {
		if name == "" {
			return errors.New("invalid container format container:<name|id>")
		}
		return checkJoined(s)
	}
	if path, ok := n.Mode.Path(); ok {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("invalid network namespace %q: the path must be absolute", path)
		}
		if len(n.Ports) > 0 || n.PublishAll {
			return errors.New("conflicting options: port publishing and a network namespace that is not ctr's (ns:)")
		}
	}
	if s.Namespaces.UTS == container.ModeHost && s.Hostname != "" {
		return errors.New("conflicting options: hostname and the UTS mode")
	}
	if n.Mode == container.ModeNone && (len(n.Ports) > 0 || n.PublishAll) {
		return errors.New("conflicting options: port publishing and the network none")
	}
	return nil
}

// checkJoined refuses what the container whose network is joined has decided already.
func checkJoined(s *container.Spec) error {
	const mode = "the container type network mode"
	n := s.Network
	for _, conflict := range []struct {
		set  bool
		what string
	}{
		{s.Hostname != "", "conflicting options: hostname and the network mode"},
		{len(n.Resolver.Servers) > 0, "conflicting options: dns and the network mode"},
		{len(n.Resolver.Search) > 0, "conflicting options: dns-search and the network mode"},
		{len(n.ExtraHosts) > 0, "conflicting options: custom host-to-IP mapping and the network mode"},
		{len(n.Ports) > 0 || n.PublishAll, "conflicting options: port publishing and " + mode},
		{len(n.Expose) > 0, "conflicting options: port exposing and " + mode},
	} {
		if conflict.set {
			return errors.New(conflict.what)
		}
	}
	return nil
}
