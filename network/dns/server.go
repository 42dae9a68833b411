package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ctr/network/names"
	"ctr/network/netns"
)

// maxForwards is how many questions may be waiting for other servers at once, as in Docker. More are REFUSED.
const maxForwards = 1024

// Server is the resolver of one container.
type Server struct {
	ns   *netns.Handle
	host resolvConf

	sockets   chan sockets // what Serve works on, for Suspend
	suspended atomic.Bool

	forwards    atomic.Int64
	maxForwards int64
	dialing     sync.Mutex

	mu     sync.RWMutex // held for reading while a question is looked up
	config Config
	zones  []zone
}

// New returns a resolver. The namespace is the container's, from which Config.Servers are asked; it stays the caller's and
// must be open while the server serves. Without one they are asked from that of this process.
func New(c Config, ns *netns.Handle) *Server {
	s := &Server{ns: ns, sockets: make(chan sockets, 1), maxForwards: maxForwards}
	// Each forward has a descriptor: they must never take those that looking up our own names needs.
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil && files.Cur/2 < maxForwards {
		s.maxForwards = int64(files.Cur / 2)
	}
	s.Reconfigure(c)
	return s
}

// Reconfigure changes what the server knows, for the next question on.
func (s *Server) Reconfigure(c Config) {
	zones := make([]zone, len(c.Networks))
	for i, n := range c.Networks {
		zones[i] = zone{Network: n, reader: names.Zone{Dir: n.Zone}.Reader()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeZones()
	s.config, s.zones = c, zones
}

func (s *Server) closeZones() {
	for _, z := range s.zones {
		z.reader.Close()
	}
	s.zones = nil
}

// sockets are the two that a server answers on.
type sockets struct {
	udp *net.UDPConn
	tcp *net.TCPListener
}

// Serve answers until the context ends, or a socket is closed. It owns the sockets, and closes them before it returns, with
// everything else that it opened; no question is being answered any more then. It returns nil if the context ended it, or
// Suspend. A server serves once.
func (s *Server) Serve(ctx context.Context, udp *net.UDPConn, tcp *net.TCPListener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		udp.Close()
		tcp.Close()
	})
	defer stop()
	s.sockets <- sockets{udp, tcp}
	ended := func(err error) {
		if !s.suspended.Load() {
			cancel(err)
		}
	}
	var running sync.WaitGroup
	running.Go(func() { ended(s.serveUDP(ctx, udp, &running)) })
	running.Go(func() { ended(s.serveTCP(ctx, tcp, &running)) })
	running.Wait()
	s.mu.Lock()
	s.closeZones()
	s.mu.Unlock()
	err := context.Cause(ctx)
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return fmt.Errorf("serve DNS: %w", err)
}

// Suspend has Serve return, so that another process can serve on copies of the sockets' descriptors: questions that wait in
// them are not lost. It does nothing and returns false while a question waits for another server, or before Serve was called.
// Clients that are connected over TCP are let go, and connect again.
func (s *Server) Suspend() bool {
	if s.forwards.Load() > 0 {
		return false
	}
	select {
	case on := <-s.sockets:
		s.suspended.Store(true)
		past := time.Unix(1, 0)
		_ = on.udp.SetReadDeadline(past) // closed sockets end Serve as well
		_ = on.tcp.SetDeadline(past)
		return true
	default:
		return false
	}
}

// answer reads a message into q and answers it, in the memory of buffer if that is large enough. No answer says what is to be
// done instead: forward the question, or nothing, if the message is no query. limit is the most that the client can take over
// this protocol, 0 if the message itself tells.
func (s *Server) answer(q *query, l *lookups, message, buffer []byte, limit int) (answer []byte, forward bool) {
	err := q.parse(message)
	if errors.Is(err, errNotQuery) {
		return nil, false
	}
	if limit == 0 {
		limit = q.payload
	}
	r := newReply(q, buffer, limit)
	switch {
	case err != nil:
		r.code = codeFormatError
	case q.flags&maskOpcode != 0:
		r.code = codeNotImplemented
	case q.version != 0:
		r.code = codeBadVersion
	case !s.answerOwn(q, l, &r):
		return nil, true
	}
	return r.bytes(), false
}

// answerOwn answers what the zones know, and what must not be forwarded.
func (s *Server) answerOwn(q *query, l *lookups, r *reply) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	f, err := find(s.zones, q, l)
	if err != nil {
		// Not to be forwarded: it may be a container's name.
		r.code = codeServerFailure
		return true
	}
	if f.ours {
		f.write(r)
		return true
	}
	return s.config.NdotsSet && q.singleLabel() && (q.qtype == typeA || q.qtype == typeAAAA)
}

// failure returns a reply that holds nothing but a code.
func failure(q *query, code uint16) []byte {
	r := newReply(q, nil, q.payload)
	r.code = code
	return r.bytes()
}

// startForward takes one of the places for questions that wait for other servers, if there is one.
func (s *Server) startForward() bool {
	if s.forwards.Add(1) > s.maxForwards {
		s.forwards.Add(-1)
		return false
	}
	return true
}

func (s *Server) endForward() { s.forwards.Add(-1) }
