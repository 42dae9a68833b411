package network

import (
	"fmt"
	"net/netip"

	"ctr/network/firewall"
	"ctr/network/ports"
)

// publish takes the ports that the container publishes. They are sockets of this process: they need no record to be given
// back.
func (b *building) publish() error {
	spec := b.Record.Spec
	if len(spec.Ports) == 0 {
		return nil
	}
	to, binding := b.target()
	if to == nil {
		b.Warnings = append(b.Warnings,
			fmt.Sprintf("ports of %s are not published: it is on no bridge network with a way out", spec.Name))
		return nil
	}
	wanted := make([]ports.Port, len(spec.Ports))
	for i, p := range spec.Ports {
		if !p.HostIP.IsValid() {
			p.HostIP = binding
		}
		wanted[i] = ports.Port{
			Protocol: ports.Protocol(p.Protocol), HostIP: p.HostIP, HostPort: p.HostPort, HostPortEnd: p.HostPortEnd,
		}
	}
	held, err := ports.Hold(b.host, wanted)
	if err != nil {
		return b.nameHolder(err)
	}
	b.Sandbox.Ports, b.Record.Published = held, to
	for i, h := range held {
		b.Record.Ports = append(b.Record.Ports, Port{
			Protocol: spec.Ports[i].Protocol, HostIP: h.Port.HostIP, HostPort: h.Port.HostPort,
			ContainerPort: spec.Ports[i].ContainerPort,
		})
	}
	return nil
}

// target returns what published ports lead to, the endpoint that the default route takes, and the address of the host that its
// network publishes on. It returns nil if there is none that the host reaches.
func (b *building) target() (to *Published, binding netip.Addr) {
	for _, a := range elect(b.all) {
		if a.network.Driver != "bridge" || a.gateways() == 0 {
			continue
		}
		to := &Published{Bridge: a.network.Bridge}
		if a.Gateway4.IsValid() {
			to.IPv4 = a.Endpoint.IPv4.Addr()
		}
		if a.Gateway6.IsValid() {
			to.IPv6 = a.Endpoint.IPv6.Addr()
		}
		return to, a.options.hostBinding
	}
	return nil, netip.Addr{}
}

// addRules leads the published ports to the container.
func (b *building) addRules() error {
	rules := b.Record.rules()
	if len(rules) == 0 {
		return nil
	}
	return b.firewall.AddPorts(rules)
}

// rules returns the published ports as the firewall wants them: one for each family that the host's and the container's
// address have in common. What is left is the proxy's.
func (r *Record) rules() []firewall.Port {
	if r.Published == nil {
		return nil
	}
	var all []firewall.Port
	for _, p := range r.Ports {
		for _, target := range r.Targets(p) {
			host := p.HostIP
			if host.IsValid() && host.Is4() != target.Addr().Is4() {
				continue
			}
			if host.IsUnspecified() {
				host = netip.Addr{} // every address of the target's family
			}
			all = append(all, firewall.Port{
				Protocol: firewall.Protocol(p.Protocol), HostIP: host, HostPort: p.HostPort, Bridge: r.Published.Bridge,
				ContainerIP: target.Addr(), ContainerPort: target.Port(), Owner: r.Spec.ID,
			})
		}
	}
	return all
}

// Forwards returns what the proxy of the published ports is to serve: the targets that the rules in the kernel lead to.
func (s *Sandbox) Forwards() []ports.Forward {
	all := make([]ports.Forward, len(s.Ports))
	for i, held := range s.Ports {
		all[i] = ports.Forward{Held: held, Targets: s.Record.Targets(s.Record.Ports[i])}
	}
	return all
}
