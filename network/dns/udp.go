package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// udpReaders is how many goroutines read questions: while one looks up a name, another reads.
	udpReaders = 2
	// maxQuery is the largest question that is taken, in bytes. Real ones have less than 100, with cookies and padding less
	// than 512.
	maxQuery = 4096
	// keptReply is how large the memory for a reply may stay after an unusually large one.
	keptReply = 4096
)

// serveUDP answers questions until the socket is closed. Only those that must be forwarded get a goroutine.
func (s *Server) serveUDP(ctx context.Context, conn *net.UDPConn, running *sync.WaitGroup) error {
	w := worker{out: make([]byte, 0, minPayload)}
	buf := make([]byte, maxQuery)
	for {
		n, client, err := conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
			return err
		}
		if err != nil {
			pause(ctx) // no memory, perhaps: not the socket's end
			continue
		}
		answer, forward := s.answer(&w, buf[:n], 0)
		switch {
		case forward && !s.startForward():
			answer = failure(&w.query, codeRefused)
		case forward:
			message := slices.Clone(buf[:n])
			running.Go(func() { s.forwardUDP(ctx, conn, client, message) })
		}
		if answer != nil {
			conn.WriteToUDPAddrPort(answer, client) // who is gone needs no answer
		}
		if cap(w.out) > keptReply {
			w.out = make([]byte, 0, minPayload)
		}
	}
}

func (s *Server) forwardUDP(ctx context.Context, conn *net.UDPConn, client netip.AddrPort, message []byte) {
	defer s.endForward()
	var q query
	if q.parse(message) == nil {
		conn.WriteToUDPAddrPort(s.forward(ctx, &q, unix.SOCK_DGRAM), client)
	}
}
