package keep

import (
	"context"
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

// serving is Services while they are served.
type serving struct {
	Services
	resolver  *dns.Server
	running   sync.WaitGroup
	stopDNS   context.CancelFunc
	stopPort  context.CancelFunc
	suspended bool
}

// serve starts the services.
func (s Services) serve() *serving {
	now := &serving{Services: s}
	var resolving, proxying context.Context
	resolving, now.stopDNS = context.WithCancel(context.Background())
	proxying, now.stopPort = context.WithCancel(context.Background())
	if s.DNS != nil {
		now.resolver = dns.New(*s.DNS, s.NetNS)
		now.running.Go(func() {
			_ = now.resolver.Serve(resolving, s.UDP, s.TCP) // it ends with its sockets
		})
	}
	if len(s.Forwards) > 0 {
		now.running.Go(func() {
			_ = ports.Serve(proxying, s.Forwards...) // what the kernel leads to the container does not need it
		})
	}
	return now
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
