package inspect

import (
	"net"
	"net/netip"
	"slices"
	"strconv"

	api "github.com/moby/moby/api/types/container"
	apinet "github.com/moby/moby/api/types/network"

	"ctr/network"
	"ctr/runtime/container"
)

// NetworkSettings are those of Docker's API, with what it had until version 29, and many scripts ask for: the container's
// place on the default bridge.
type NetworkSettings struct {
	api.NetworkSettings
	EndpointID          string
	Gateway             netip.Addr
	GlobalIPv6Address   netip.Addr
	GlobalIPv6PrefixLen int
	IPAddress           netip.Addr
	IPPrefixLen         int
	IPv6Gateway         netip.Addr
	MacAddress          apinet.HardwareAddr
}

// networkSettings are the container's networks as they are while it runs, and as they were asked for otherwise.
func (c Container) networkSettings() *NetworkSettings {
	s := &NetworkSettings{NetworkSettings: api.NetworkSettings{Ports: apinet.PortMap{}, Networks: map[string]*apinet.EndpointSettings{}}}
	n := c.Spec.Network
	if n.Mode == container.ModeHost || n.Mode == container.ModeNone {
		e := &apinet.EndpointSettings{}
		if c.NetworkID != nil {
			e.NetworkID = c.NetworkID(string(n.Mode))
		}
		s.Networks[string(n.Mode)] = e
	}
	for _, spec := range n.Endpoints {
		s.Networks[c.networkName(spec)] = asAsked(spec)
	}
	if c.Record == nil || !c.State.Running() {
		return s
	}
	s.SandboxID = c.Spec.ID
	if c.Record.NetnsName != "" {
		s.SandboxKey = "/run/netns/" + c.Record.NetnsName
	}
	for i, e := range c.Record.Endpoints {
		var spec network.EndpointSpec
		if i < len(c.Record.Spec.Endpoints) {
			spec = c.Record.Spec.Endpoints[i]
		}
		s.Networks[e.Name] = asIs(spec, e)
	}
	s.Ports = published(c.Spec.Network, c.Record)
	if e := s.Networks["bridge"]; e != nil {
		s.EndpointID, s.MacAddress, s.Gateway, s.IPAddress, s.IPPrefixLen = e.EndpointID, e.MacAddress, e.Gateway, e.IPAddress, e.IPPrefixLen
		s.IPv6Gateway, s.GlobalIPv6Address, s.GlobalIPv6PrefixLen = e.IPv6Gateway, e.GlobalIPv6Address, e.GlobalIPv6PrefixLen
	}
	return s
}

func asAsked(spec network.EndpointSpec) *apinet.EndpointSettings {
	e := &apinet.EndpointSettings{
		Aliases: spec.Aliases, DriverOpts: spec.DriverOpts, GwPriority: spec.GwPriority, NetworkID: spec.Network, MacAddress: mac(spec.MAC),
	}
	if spec.IPv4.IsValid() || spec.IPv6.IsValid() {
		e.IPAMConfig = &apinet.EndpointIPAMConfig{IPv4Address: spec.IPv4, IPv6Address: spec.IPv6}
	}
	return e
}

func asIs(spec network.EndpointSpec, is network.Endpoint) *apinet.EndpointSettings {
	e := asAsked(spec)
	e.NetworkID, e.EndpointID, e.MacAddress = is.Network, is.ID, mac(is.MAC)
	e.Gateway, e.IPv6Gateway, e.DNSNames = is.Gateway4, is.Gateway6, is.DNSNames
	if is.IPv4.IsValid() {
		e.IPAddress, e.IPPrefixLen = is.IPv4.Addr(), is.IPv4.Bits()
	}
	if is.IPv6.IsValid() {
		e.GlobalIPv6Address, e.GlobalIPv6PrefixLen = is.IPv6.Addr(), is.IPv6.Bits()
	}
	return e
}

func mac(s string) apinet.HardwareAddr {
	hw, err := net.ParseMAC(s)
	if err != nil {
		return nil
	}
	return apinet.HardwareAddr(hw)
}

// exposed are all ports that the container is said to listen on.
func exposed(n container.Network) apinet.PortSet {
	set := apinet.PortSet{}
	for _, e := range n.Exposed() {
		if p, ok := apinet.PortFrom(e.Port, apinet.IPProtocol(e.Protocol)); ok {
			set[p] = struct{}{}
		}
	}
	return set
}

// published are the exposed ports, each with where it is published; nil: nowhere.
func published(n container.Network, r *network.Record) apinet.PortMap {
	out := apinet.PortMap{}
	for p := range exposed(n) {
		out[p] = nil
	}
	for _, p := range r.Ports {
		key, ok := apinet.PortFrom(p.ContainerPort, apinet.IPProtocol(p.Protocol))
		if !ok {
			continue
		}
		for _, at := range r.Places(p) {
			b := apinet.PortBinding{HostIP: at.Host.Addr()}
			if port := at.Host.Port(); port != 0 {
				b.HostPort = strconv.Itoa(int(port))
			}
			out[key] = append(out[key], b)
		}
	}
	return out
}

// portSummaries are the PORTS of `ps`: the published ports and those that are only exposed. A container that does not run
// has none.
func (c Container) portSummaries() []api.PortSummary {
	out := []api.PortSummary{}
	if !c.State.Running() || c.Record == nil {
		return out
	}
	seen := map[network.Expose]bool{}
	for _, p := range c.Record.Ports {
		seen[p.Expose()] = true
		for _, at := range c.Record.Places(p) {
			one := api.PortSummary{IP: at.Host.Addr(), PrivatePort: p.ContainerPort, PublicPort: at.Host.Port(), Type: string(p.Protocol)}
			if one.PublicPort == 0 {
				one.IP = netip.Addr{} // as one that is only exposed, whatever the family
				if slices.Contains(out, one) {
					continue
				}
			}
			out = append(out, one)
		}
	}
	for _, e := range c.Spec.Network.Expose {
		if !seen[e] {
			out = append(out, api.PortSummary{PrivatePort: e.Port, Type: string(e.Protocol)})
		}
	}
	slices.SortStableFunc(out, func(a, b api.PortSummary) int { return int(a.PrivatePort) - int(b.PrivatePort) })
	return out
}
