package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxConns is how many clients may be connected. One more takes the place of the one that has been silent the longest.
	maxConns = 128
	// maxPipelined is how many questions of one connection may wait for other servers; then it is not read.
	maxPipelined = 16
	// idleTimeout is how long a connection may take for one question, from the end of the one before (RFC 7766, 6.2.3).
	idleTimeout = 10 * time.Second
	// writeTimeout is how long a client may take to receive one reply.
	writeTimeout = 5 * time.Second
	// errorPause is how long to wait when the kernel has no memory or descriptor for what comes next.
	errorPause = 50 * time.Millisecond
)

// conns are the connections of one server.
type conns struct {
	mu   sync.Mutex
	open map[*conn]struct{}
}

// conn is one client's connection. Replies are written as they come, so a slow server upstream holds up none but its own
// question (RFC 7766, section 6.2.1.1).
type conn struct {
	*net.TCPConn
	write   sync.Mutex
	active  time.Time // guarded by conns.mu
	waiting chan struct{}
}

// serveTCP answers questions until the listener is closed.
func (s *Server) serveTCP(ctx context.Context, l *net.TCPListener, running *sync.WaitGroup) error {
	all := conns{open: make(map[*conn]struct{})}
	for {
		c, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) || ctx.Err() != nil || s.suspended.Load() {
			all.closeAll()
			return err
		}
		if err != nil {
			pause(ctx)
			continue
		}
		client := &conn{TCPConn: c, waiting: make(chan struct{}, maxPipelined)}
		all.add(client)
		running.Go(func() {
			defer all.remove(client)
			s.serveConn(ctx, &all, client)
		})
	}
}

// serveConn answers the questions of one connection until its client is done, silent for too long, or talks no DNS.
func (s *Server) serveConn(ctx context.Context, all *conns, c *conn) {
	var forwards sync.WaitGroup
	defer forwards.Wait() // a client may close its half and still wait for replies
	var q query
	var l lookups
	for {
		message, err := readQuery(c)
		if err != nil {
			return
		}
		all.touch(c)
		l.reset()
		answer, forward := s.answer(&q, &l, message, nil, maxMessage)
		switch {
		case forward && !s.startForward():
			answer = failure(&q, codeRefused)
		case forward:
			c.waiting <- struct{}{}
			forwards.Go(func() {
				defer func() { <-c.waiting }()
				s.forwardTCP(ctx, all, c, message)
			})
			continue
		case answer == nil:
			return
		}
		if err := c.send(answer); err != nil {
			return
		}
	}
}

func (s *Server) forwardTCP(ctx context.Context, all *conns, c *conn, message []byte) {
	defer s.endForward()
	var q query
	if q.parse(message) != nil {
		return
	}
	if c.send(s.forward(ctx, &q, unix.SOCK_STREAM)) == nil {
		all.touch(c)
	}
}

// readQuery reads one message. It is new memory, of the size that the client sends, not of the size that it announces only.
func readQuery(c *conn) ([]byte, error) {
	if err := c.SetReadDeadline(time.Now().Add(idleTimeout)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(size[:]))
	if n > maxDatagram { // more than any real one has; what holds for UDP holds here
		return nil, errMalformed
	}
	message := make([]byte, n)
	_, err := io.ReadFull(c, message)
	return message, err
}

// send writes one message, whole: a connection on which half of one was written is of no use any more.
func (c *conn) send(message []byte) error {
	framed := make([]byte, 2, 2+len(message))
	binary.BigEndian.PutUint16(framed, uint16(len(message)))
	framed = append(framed, message...)
	c.write.Lock()
	defer c.write.Unlock()
	err := c.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err == nil {
		_, err = c.Write(framed)
	}
	if err != nil {
		c.Close()
	}
	return err
}

// add keeps a connection, in the place of another one if there are too many.
func (a *conns) add(c *conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.open) >= maxConns {
		var oldest *conn
		for other := range a.open {
			if oldest == nil || other.active.Before(oldest.active) {
				oldest = other
			}
		}
		oldest.Close()
		delete(a.open, oldest)
	}
	c.active = time.Now()
	a.open[c] = struct{}{}
}

func (a *conns) touch(c *conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c.active = time.Now()
}

func (a *conns) remove(c *conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c.Close()
	delete(a.open, c)
}

func (a *conns) closeAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for c := range a.open {
		c.Close()
	}
}

func pause(ctx context.Context) {
	timer := time.NewTimer(errorPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
