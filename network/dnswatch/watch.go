package dnswatch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"ctr/network/netns"
)

// received is how many bytes of packets may wait for the watcher: several thousand questions.
const received = 4 << 20

// Watch is an open watch on a network namespace.
type Watch struct {
	socket *os.File
	open   questions
}

// Open begins to watch a namespace: what is asked from then on is seen. The caller closes the watch.
func Open(ns *netns.Handle) (*Watch, error) {
	program, err := filter()
	if err != nil {
		return nil, fmt.Errorf("watch DNS: %w", err)
	}
	fd := -1
	err = ns.Do(func() (err error) {
		// Without a protocol, packets come only once the filter is there: packet(7).
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("watch DNS: %w", os.NewSyscallError("socket", err))
	}
	err = errors.Join(
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, received),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL)}),
	)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("watch DNS: %w", err)
	}
	return &Watch{socket: os.NewFile(uintptr(fd), "packets"), open: questions{}}, nil
}

// Close ends the watch.
func (w *Watch) Close() error { return w.socket.Close() }

// Run hands over each question when it is answered, or when it has been without an answer for too long, until the context
// ends or f returns an error.
func (w *Watch) Run(ctx context.Context, f func(Question) error) error {
	raw, err := w.socket.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = w.socket.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var failure error
	found := func(q Question) {
		if failure == nil {
			failure = f(q)
		}
	}
	buf := make([]byte, maxPacket)
	for next := time.Now(); failure == nil; {
		if now := time.Now(); !now.Before(next) {
			w.open.expire(now, found)
			next = now.Add(time.Second)
		}
		if err := w.socket.SetReadDeadline(next); err != nil {
			return err
		}
		if ctx.Err() != nil { // the deadline may just have taken the place of the one that ends this
			return nil
		}
		n := 0
		var again error
		err := raw.Read(func(fd uintptr) bool {
			n, again = receive(int(fd), buf)
			return !errors.Is(again, unix.EAGAIN)
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			return err
		case again == nil:
			if p, ok := parsePacket(buf[:n]); ok {
				w.open.take(p, time.Now(), found)
			}
		}
	}
	return failure
}

// receive takes one packet. What lo carries is seen twice, on its way out and in: once is enough.
func receive(fd int, buf []byte) (int, error) {
	n, from, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		return 0, os.NewSyscallError("recvfrom", err)
	}
	if l, ok := from.(*unix.SockaddrLinklayer); ok && l.Hatype == unix.ARPHRD_LOOPBACK && l.Pkttype == unix.PACKET_OUTGOING {
		return 0, nil
	}
	return n, nil
}

// Missed returns how many packets came faster than they were read, since the last call.
func (w *Watch) Missed() int {
	missed := 0
	if raw, err := w.socket.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			if s, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
				missed = int(s.Drops)
			}
		})
	}
	return missed
}

// networkOrder is htons(3).
func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}
