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
	// batchSize is how many questions are taken and answered at once, if so many are there. It saves system calls, and
	// looks a name up once for all that ask for it.
	batchSize = 16
	// maxDatagram is the largest question that is taken over UDP, in bytes: what our replies promise to take.
	maxDatagram = ourPayload
	// keptReply is how large the memory for a reply may stay after an unusually large one.
	keptReply = 2048
)

// udpServer answers the questions that come to one socket. It has one goroutine; only questions that must be forwarded get
// another.
type udpServer struct {
	*Server
	conn    *net.UDPConn
	running *sync.WaitGroup

	lookups lookups
	query   query
	in      datagrams
	out     datagrams
	replies [batchSize][]byte
}

// serveUDP answers questions until the socket is closed. Other goroutines that it starts are counted in running.
func (s *Server) serveUDP(ctx context.Context, conn *net.UDPConn, running *sync.WaitGroup) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	u := udpServer{Server: s, conn: conn, running: running}
	u.in.allocate(maxDatagram)
	for {
		n := 0
		var failure error
		err := raw.Read(func(fd uintptr) (done bool) {
			n, failure = u.in.receive(int(fd))
			return !errors.Is(failure, unix.EAGAIN)
		})
		if err != nil || ctx.Err() != nil {
			return err // the socket was closed
		}
		if failure != nil {
			pause(ctx) // no memory, perhaps: not the socket's end
			continue
		}
		count := u.answerBatch(ctx, n)
		for first := 0; first < count; {
			err := raw.Write(func(fd uintptr) (done bool) {
				first, failure = u.out.send(int(fd), first, count)
				return !errors.Is(failure, unix.EAGAIN)
			})
			if err != nil {
				return err
			}
		}
	}
}

// answerBatch answers the n questions that were received, and returns how many replies there are to be sent.
func (u *udpServer) answerBatch(ctx context.Context, n int) (count int) {
	u.lookups.reset()
	for i := range n {
		message, whole := u.in.datagram(i)
		if !whole {
			continue
		}
		reply := &u.replies[count]
		if cap(*reply) > keptReply {
			*reply = nil
		}
		answer, forward := u.answer(&u.query, &u.lookups, message, *reply, 0)
		switch {
		case forward && !u.startForward():
			answer = failure(&u.query, codeRefused)
		case forward:
			message, client := slices.Clone(message), u.in.addr(i)
			u.running.Go(func() { u.forwardUDP(ctx, client, message) })
		}
		if answer != nil {
			*reply = answer
			u.out.put(count, answer, &u.in, i)
			count++
		}
	}
	return count
}

func (u *udpServer) forwardUDP(ctx context.Context, client netip.AddrPort, message []byte) {
	defer u.endForward()
	var q query
	if q.parse(message) == nil {
		_, _ = u.conn.WriteToUDPAddrPort(u.forward(ctx, &q, unix.SOCK_DGRAM), client) // who is gone needs no answer
	}
}
