package inspect

import (
	"math"
	"net/netip"

	apinet "github.com/moby/moby/api/types/network"

	"ctr/network"
	"ctr/runtime/container"
)

// Network is what `ctr network inspect` shows: Docker's, and who is to be on the network, but does not run.
type Network struct {
	apinet.Inspect
	// ConfiguredContainers are the containers that do not run and will be on the network when they do, by ID, with what they
	// ask for.
	ConfiguredContainers map[string]ConfiguredContainer `json:",omitempty"`
}

// ConfiguredContainer is the endpoint of a container that does not run.
type ConfiguredContainer struct {
	Name        string
	State       container.Status
	IPv4Address netip.Addr `json:",omitzero"` // asked for; else any that is free
	IPv6Address netip.Addr `json:",omitzero"`
	MacAddress  string     `json:",omitempty"`
	Aliases     []string   `json:",omitempty"`
	GwPriority  int        `json:",omitempty"`
}

// NetworkOf returns what is to be shown of a network, with its users, and those of all containers that have no endpoint on it
// now, but will have one.
func NetworkOf(s network.Spec, users []network.User, all []*container.Container) Network {
	shown := Network{Inspect: running(s, users), ConfiguredContainers: map[string]ConfiguredContainer{}}
	for _, c := range all {
		// Nobody has an endpoint on the networks host and none.
		if mode := c.Network.Mode; mode != container.ModePrivate && string(mode) == s.Name {
			if state := c.State(); state.Running() {
				shown.Containers[c.ID] = apinet.EndpointResource{Name: c.Name}
			} else {
				shown.ConfiguredContainers[c.ID] = ConfiguredContainer{Name: c.Name, State: state.Status}
			}
		}
		for _, e := range c.Network.Endpoints {
			if _, on := shown.Containers[c.ID]; on || !e.On(s) {
				continue
			}
			shown.ConfiguredContainers[c.ID] = ConfiguredContainer{
				Name: c.Name, State: c.State().Status, IPv4Address: e.IPv4, IPv6Address: e.IPv6, MacAddress: e.MAC,
				Aliases: e.Aliases, GwPriority: e.GwPriority,
			}
		}
	}
	return shown
}

// running returns Docker's part of it: the network, and who is on it now.
func running(s network.Spec, users []network.User) apinet.Inspect {
	driver := s.Driver
	if driver == "none" {
		driver = "null" // Docker's name of it
	}
	r := apinet.Inspect{
		Network: apinet.Network{
			Name: s.Name, ID: s.ID, Created: s.Created, Scope: "local", Driver: driver, EnableIPv4: s.IPv4, EnableIPv6: s.IPv6,
			IPAM:     apinet.IPAM{Driver: "default", Options: map[string]string{}, Config: []apinet.IPAMConfig{}},
			Internal: s.Internal, Attachable: s.Attachable, ConfigOnly: s.ConfigOnly,
			ConfigFrom: apinet.ConfigReference{Network: s.ConfigFrom}, Options: table(s.Options), Labels: table(s.Labels),
		},
		Containers: map[string]apinet.EndpointResource{},
	}
	status := apinet.SubnetStatuses{}
	for _, sub := range s.Subnets {
		r.IPAM.Config = append(r.IPAM.Config, apinet.IPAMConfig{
			Subnet: sub.Prefix, IPRange: sub.Range, Gateway: sub.Gateway, AuxAddress: sub.Auxiliary,
		})
		status[sub.Prefix] = usage(sub, users)
	}
	if len(status) > 0 && !s.ConfigOnly {
		r.Status = &apinet.Status{IPAM: apinet.IPAMStatus{Subnets: status}}
	}
	for _, u := range users {
		r.Containers[u.ID] = apinet.EndpointResource{
			Name: u.Name, EndpointID: u.Endpoint.ID, MacAddress: mac(u.Endpoint.MAC), IPv4Address: u.Endpoint.IPv4, IPv6Address: u.Endpoint.IPv6,
		}
	}
	return r
}

// usage counts the addresses of a subnet that are taken, those that nobody can have included, and those that can be given.
func usage(s network.Subnet, users []network.User) apinet.SubnetStatus {
	pool := s.Range
	if !pool.IsValid() {
		pool = s.Prefix
	}
	taken := map[netip.Addr]bool{s.Prefix.Masked().Addr(): true}
	if last, ok := broadcast(s.Prefix); ok {
		taken[last] = true
	}
	if s.Gateway.IsValid() {
		taken[s.Gateway] = true
	}
	for _, a := range s.Auxiliary {
		taken[a] = true
	}
	for _, u := range users {
		for _, p := range []netip.Prefix{u.Endpoint.IPv4, u.Endpoint.IPv6} {
			if p.IsValid() && s.Prefix.Contains(p.Addr()) {
				taken[p.Addr()] = true
			}
		}
	}
	inPool := uint64(0)
	for a := range taken {
		if pool.Contains(a) {
			inPool++
		}
	}
	return apinet.SubnetStatus{IPsInUse: uint64(len(taken)), DynamicIPsAvailable: size(pool) - min(size(pool), inPool)}
}

// size is how many addresses a prefix has, at most what the field holds.
func size(p netip.Prefix) uint64 {
	bits := p.Addr().BitLen() - p.Bits()
	if bits >= 64 {
		return math.MaxUint64
	}
	return 1 << bits
}

// broadcast is the last address of an IPv4 subnet that has one (RFC 3021: a /31 has none).
func broadcast(p netip.Prefix) (netip.Addr, bool) {
	if !p.Addr().Is4() || p.Bits() > 30 {
		return netip.Addr{}, false
	}
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b), true
}
