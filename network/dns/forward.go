package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// upstreamTimeout is how long one server may take.
const upstreamTimeout = 4 * time.Second

var (
	errConnecting = errors.New("connection on its way")
	errOtherCase  = errors.New("reply with the question in other letters")
)

// forward asks the servers one after the other. There is always a reply.
func (s *Server) forward(ctx context.Context, q *query, kind int) []byte {
	s.mu.RLock()
	list := s.config.upstreams(&s.host, s.ns)
	s.mu.RUnlock()
	for _, u := range list {
		reply, err := s.exchange(ctx, u, q, kind)
		if err == nil && !failed(reply) {
			return reply
		}
	}
	return failure(q, codeServerFailure)
}

// exchange asks one server and returns its reply, with the ID of the question restored. The reply is new memory.
func (s *Server) exchange(ctx context.Context, u upstream, q *query, kind int) ([]byte, error) {
	reply, err := s.exchangeOver(ctx, u, q, kind)
	if !errors.Is(err, errOtherCase) {
		return reply, err
	}
	// The letters' case is the client's own nonce (draft-vixie-dnsext-dns0x20). Who has guessed all but that is no server, and
	// few servers change it: over TCP it must be the server.
	if reply, err = s.exchangeOver(ctx, u, q, unix.SOCK_STREAM); err != nil {
		return nil, err
	}
	copy(reply[headerSize:], q.question)
	if len(reply) > q.payload {
		r := newReply(q, nil, q.payload)
		r.full, r.code = true, uint16(reply[3]&maskCode)
		reply = r.bytes()
	}
	return reply, nil
}

// exchangeOver asks one server over a protocol.
func (s *Server) exchangeOver(ctx context.Context, u upstream, q *query, kind int) ([]byte, error) {
	f, err := s.dial(u, kind)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	stop := context.AfterFunc(ctx, func() { f.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := f.SetDeadline(time.Now().Add(upstreamTimeout)); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// math/rand/v2 draws from ChaCha8, seeded by the kernel: nobody guesses the next from those before.
	id := uint16(rand.Uint32())
	var reply []byte
	if kind == unix.SOCK_STREAM {
		reply, err = exchangeStream(f, q, id)
	} else {
		reply, err = exchangeDatagram(f, q, id)
	}
	if err != nil {
		return nil, err
	}
	copy(reply, q.message[:2])
	return reply, nil
}

// dial opens a socket to the server, one at a time: a thousand goroutines that want one shall not be a thousand before the one
// that answers names of containers.
func (s *Server) dial(u upstream, kind int) (*os.File, error) {
	s.dialing.Lock()
	defer s.dialing.Unlock()
	return u.dial(kind)
}

// exchangeDatagram asks over UDP. Datagrams that do not answer the question are as if they had not come.
func exchangeDatagram(f *os.File, q *query, id uint16) ([]byte, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	message := withID(q.message, id, 0)
	if _, err := f.Write(message); err != nil {
		return nil, err
	}
	var reply []byte
	var failure error
	err = raw.Read(func(fd uintptr) (done bool) {
		for {
			reply, failure = receive(int(fd))
			switch {
			case errors.Is(failure, unix.EAGAIN):
				return false
			case failure != nil:
				return true
			case q.answers(reply, id):
				if !q.sameCase(reply) {
					failure = errOtherCase
				}
				return true
			}
		}
	})
	return reply, errors.Join(err, failure)
}

// receive returns one datagram, in memory of its size: a thousand questions that wait hold no buffers. It does not wait: then
// the error is EAGAIN.
func receive(fd int) ([]byte, error) {
	for {
		var none [1]byte
		n, _, err := unix.Recvfrom(fd, none[:], unix.MSG_DONTWAIT|unix.MSG_PEEK|unix.MSG_TRUNC)
		var datagram []byte
		if err == nil {
			datagram = make([]byte, n)
			n, _, err = unix.Recvfrom(fd, datagram, unix.MSG_DONTWAIT)
		}
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, os.NewSyscallError("recvfrom", err)
		default:
			return datagram[:n], nil
		}
	}
}

// exchangeStream asks over TCP: RFC 1035 section 4.2.2.
func exchangeStream(f *os.File, q *query, id uint16) ([]byte, error) {
	if err := connected(f); err != nil {
		return nil, err
	}
	message := withID(q.message, id, 2)
	binary.BigEndian.PutUint16(message, uint16(len(q.message)))
	if _, err := f.Write(message); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(f, size[:]); err != nil {
		return nil, err
	}
	reply := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(f, reply); err != nil {
		return nil, err
	}
	if !q.answers(reply, id) {
		return nil, errMalformed
	}
	return reply, nil
}

// connected waits until the connection that connect(2) began is there.
func connected(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	err = raw.Write(func(fd uintptr) (done bool) {
		failure = progress(int(fd))
		return !errors.Is(failure, errConnecting)
	})
	return errors.Join(err, failure)
}

func progress(fd int) error {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	if err != nil {
		return os.NewSyscallError("connect", err)
	}
	if _, err = unix.Getpeername(fd); errors.Is(err, unix.ENOTCONN) {
		return errConnecting
	}
	return os.NewSyscallError("getpeername", err)
}

// withID copies a message, with another ID, behind some free bytes.
func withID(message []byte, id uint16, free int) []byte {
	m := make([]byte, free, free+len(message))
	m = append(m, message...)
	binary.BigEndian.PutUint16(m[free:], id)
	return m
}
