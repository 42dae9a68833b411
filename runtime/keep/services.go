package keep

import (
	"context"
	"errors"
	"net"
	"sync"

	"ctr/network/dns"
	"ctr/network/netns"
	"ctr/network/ports"
)

// Services are what a keeper serves in a sandbox.
type Services struct {
	NetNS    *netns.Handle // nil: no sandbox of its own, and nothing to serve
	DNS      *dns.Config   // nil: no resolver
	UDP      *net.UDPConn
	TCP      *net.TCPListener
	Forwards []ports.Forward // published ports
}

// Held returns the published ports.
func (s Services) Held() []*ports.Held {
	held := make([]*ports.Held, len(s.Forwards))
	for i, f := range s.Forwards {
		held[i] = f.Held
	}
	return held
}

// byPort returns the published ports, each by what it is.
func (s Services) byPort() map[ports.Port]*ports.Held {
	all := make(map[ports.Port]*ports.Held, len(s.Forwards))
	for _, f := range s.Forwards {
		all[f.Held.Port] = f.Held
	}
	return all
}

// serving is Services while they are served.
type serving struct {
	Services
	resolver  *dns.Server   // nil: none yet
	proxy     *ports.Server // nil: no port yet
	running   sync.WaitGroup
	resolving context.Context //nolint:containedctx // the life of what is started later
	proxying  context.Context //nolint:containedctx // likewise
	stopDNS   context.CancelFunc
	stopPort  context.CancelFunc
	suspended bool
}

// serve starts the services.
func (s Services) serve() *serving {
	now := &serving{Services: s}
	now.resolving, now.stopDNS = context.WithCancel(context.Background())
	now.proxying, now.stopPort = context.WithCancel(context.Background())
	if s.DNS != nil {
		now.resolve()
	}
	if len(s.Forwards) > 0 {
		now.forward()
	}
	return now
}

// resolve starts the resolver.
func (s *serving) resolve() {
	resolver, ctx, udp, tcp := dns.New(*s.DNS, s.NetNS), s.resolving, s.UDP, s.TCP
	s.resolver = resolver
	s.running.Go(func() {
		_ = resolver.Serve(ctx, udp, tcp) // it ends with its sockets
	})
}

// forward starts the proxy of the published ports.
func (s *serving) forward() {
	s.proxy = ports.NewServer()
	s.running.Go(func() {
		_ = s.proxy.Serve(s.proxying, s.Forwards...) // what the kernel leads to the container does not need it
	})
}

// change serves something else from now on; on error all that came with next is still the caller's. A resolver, once there,
// stays, since the programs of the container know its address; sockets that come although there is one take the place of its
// own, as the rules in the container lead to them: the command that made those was killed, or did not hear the answer. Ports
// that are not served any more are given back.
func (s *serving) change(next Services) error {
	sockets := next.UDP != nil && next.TCP != nil
	if next.DNS != nil && s.resolver == nil && !sockets {
		return errors.New("a resolver needs sockets")
	}
	before := s.byPort()
	if s.proxy != nil {
		if err := s.proxy.Set(next.Forwards); err != nil {
			return err
		}
	}
	s.Forwards = next.Forwards
	if s.proxy == nil && len(next.Forwards) > 0 {
		s.forward()
	}
	now := s.byPort()
	for port, held := range before {
		if now[port] != held {
			_ = held.Close() // nothing was written to it
		}
	}
	switch {
	case next.DNS == nil:
	case sockets:
		s.stopDNS()
		s.resolving, s.stopDNS = context.WithCancel(context.Background())
		s.DNS, s.UDP, s.TCP = next.DNS, next.UDP, next.TCP
		s.resolve()
	default:
		s.DNS = next.DNS
		s.resolver.Reconfigure(*next.DNS)
	}
	return nil
}

// suspend ends the services in a way that lets them be taken up on the same descriptors without anybody noticing. It returns
// false, and they go on, while somebody would.
func (s *serving) suspend() bool {
	for _, f := range s.Forwards {
		if f.Held.Busy() {
			return false
		}
	}
	if s.resolver != nil && !s.resolver.Suspend() {
		return false
	}
	s.stopPort()
	s.running.Wait()
	s.suspended = true
	return true
}

// end ends them for good; the resolver's sockets are closed.
func (s *serving) end() {
	s.stopDNS()
	s.stopPort()
	s.running.Wait()
}
