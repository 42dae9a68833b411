package network

import (
	"fmt"
	"slices"

	"ctr/network/ports"
)

// publish takes the ports that the container publishes. They are sockets of this process: they need no record to be given
// back.
func (b *building) publish() error {
	spec := b.Record.Spec
	if len(spec.Ports) == 0 {
		return nil
	}
	to, a := b.target()
	if to == nil {
		b.Warnings = append(b.Warnings,
			fmt.Sprintf("ports of %s are not published: it is on no bridge network with a way out", spec.Name))
		return nil
	}
	published := slices.Clone(spec.Ports)
	var wanted []ports.Port
	var bound []int // the places of those in published
	for i, p := range published {
		if !p.HostIP.IsValid() {
			p.HostIP = a.options.hostBinding
		}
		at, ok := to.onHost(p)
		if ok {
			bound = append(bound, i)
			wanted = append(wanted, ports.Port{
				Protocol: ports.Protocol(p.Protocol), HostIP: at.HostIP, HostPort: p.HostPort, HostPortEnd: p.HostPortEnd,
			})
		} else if err := b.onlyDirect(a, to, p); err != nil {
			return err
		}
		p.HostPortEnd = 0
		published[i] = p
	}
	held, err := ports.Hold(b.host, wanted)
	if err != nil {
		return b.nameHolder(err)
	}
	for i, h := range held {
		published[bound[i]].HostPort = h.Port.HostPort
	}
	b.Sandbox.Ports, b.Record.Published, b.Record.Ports = held, to, published
	return nil
}

// onlyDirect looks at a port that is not on the host, whatever of the host it names. To be open at the container's own address is
// the contrary of what who names 127.0.0.1 wants.
func (b *building) onlyDirect(a *attachment, to *Published, p Port) error {
	open := to.direct(p)
	text := ""
	switch {
	case p.HostIP.IsLoopback():
		return fmt.Errorf("%w: cannot publish port %d/%s on %s: network %s is routed, and a published port open to whoever has a route to "+
			"the container", ErrInvalid, p.ContainerPort, p.Protocol, p.HostIP, a.network.Name)
	case len(open) == 0:
		text = fmt.Sprintf("port %d/%s of %s is not published on %s: network %s has no addresses of the family, and those of the other are routed",
			p.ContainerPort, p.Protocol, b.Record.Spec.Name, p.HostIP, a.network.Name)
	case p.HostPort != 0 || p.HostIP.IsValid() && !p.HostIP.IsUnspecified():
		text = fmt.Sprintf("network %s is routed: published ports are open at %s itself, and what -p says of the host is not used",
			a.network.Name, open[0].Addr())
	}
	if text != "" && !slices.Contains(b.Warnings, text) {
		b.Warnings = append(b.Warnings, text)
	}
	return nil
}

// target returns what published ports lead to, the endpoint that the default route takes. It returns nil if there is none that the
// host reaches.
func (b *building) target() (*Published, *attachment) {
	for _, a := range elect(b.all) {
		if a.network.Driver != "bridge" || a.gateways() == 0 {
			continue
		}
		to := &Published{Bridge: a.network.Bridge, Trusted: a.options.trusted}
		if a.Gateway4.IsValid() {
			to.IPv4, to.Routed4 = a.Endpoint.IPv4.Addr(), a.options.gateway(false) == gatewayRouted
		}
		if a.Gateway6.IsValid() {
			to.IPv6, to.Routed6 = a.Endpoint.IPv6.Addr(), a.options.gateway(true) == gatewayRouted
		}
		return to, a
	}
	return nil, nil
}

// addRules leads the published ports to the container.
func (b *building) addRules() error {
	rules := b.Record.rules()
	if len(rules) == 0 {
		return nil
	}
	return b.firewall.AddPorts(rules)
}

// Forwards returns what the proxy of the published ports is to serve: the targets that the rules in the kernel lead to.
func (s *Sandbox) Forwards() (all []ports.Forward) {
	for _, p := range s.Record.Ports {
		if _, ok := s.Record.held(p); ok {
			all = append(all, ports.Forward{Held: s.Ports[len(all)], Targets: s.Record.Targets(p)})
		}
	}
	return all
}
