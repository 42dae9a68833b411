package ports

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// ErrEnded is returned by Server.Set when nothing is served any more.
var ErrEnded = errors.New("published ports are not served any more")

// Server is a Serve whose ports may change while it runs.
type Server struct {
	mu    sync.Mutex // held by Set for its whole duration
	proxy chan *proxy
	ended chan struct{}
}

// change is what Set asks of the loop.
type change struct {
	forwards []Forward
	done     chan error
}

// NewServer returns a server that serves nothing yet.
func NewServer() *Server { return &Server{proxy: make(chan *proxy, 1), ended: make(chan struct{})} }

// Serve is the function Serve, until the context ends; Set changes the ports. A server serves once.
func (s *Server) Serve(ctx context.Context, forwards ...Forward) error {
	defer close(s.ended)
	return serve(ctx, s, forwards)
}

// begin tells Set where to turn.
func (s *Server) begin(p *proxy) {
	p.changes = make(chan change, 1)
	s.proxy <- p
}

// Set has the server serve these ports instead. Connections and flows of a port that is not among them, or has other targets
// than before, are ended; all others go on. When it returns the sockets of ports that are not among them are used no more.
func (s *Server) Set(forwards []Forward) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var p *proxy
	select {
	case p = <-s.proxy:
		s.proxy <- p
	case <-s.ended:
		return ErrEnded
	}
	c := change{forwards, make(chan error, 1)}
	p.changes <- c
	_ = p.events.SetReadDeadline(time.Unix(1, 0))
	select {
	case err := <-c.done:
		return err
	case <-s.ended:
		return ErrEnded
	}
}

// takeChanges does what Set asks.
func (p *proxy) takeChanges() {
	select {
	case c := <-p.changes:
		c.done <- p.set(c.forwards)
	default:
	}
}

// set serves these ports from now on.
func (p *proxy) set(forwards []Forward) error {
	stay := map[*Held]bool{}
	for _, f := range forwards {
		if old, ok := p.served[f.Held]; ok && slices.Equal(old.Targets, f.Targets) {
			stay[f.Held] = true
		}
	}
	for held := range p.served {
		if !stay[held] {
			p.drop(held)
		}
	}
	for _, f := range forwards {
		if stay[f.Held] {
			continue
		}
		if err := p.add(f); err != nil {
			return fmt.Errorf("change published ports: %w", err)
		}
	}
	return nil
}

// drop serves a port no more. Its connections have ended when it returns, or end in a moment.
func (p *proxy) drop(held *Held) {
	for _, file := range held.Files {
		p.unwatch(int(file.Fd()))
	}
	for key, f := range p.flows {
		if f.held == held {
			p.end(key)
		}
	}
	if c, ok := p.cuts[held]; ok {
		c.now()
		delete(p.cuts, held)
	}
	delete(p.served, held)
}

// cutOf returns the context of a port's connections.
func (p *proxy) cutOf(held *Held) context.Context {
	c, ok := p.cuts[held]
	if !ok {
		c.ctx, c.now = context.WithCancel(p.ctx)
		p.cuts[held] = c
	}
	return c.ctx
}
