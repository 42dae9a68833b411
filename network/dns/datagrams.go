package dns

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// datagrams are the arguments of recvmmsg(2) and sendmmsg(2) on an IPv4 socket. Neither waits, so they are made raw, as all that
// answers a question about a container: see names/syscalls.go.
type datagrams struct {
	headers   [batchSize]messageHeader
	vectors   [batchSize]unix.Iovec
	addresses [batchSize]unix.RawSockaddrInet4
	memory    []byte
	size      int
}

// messageHeader is struct mmsghdr.
type messageHeader struct {
	unix.Msghdr
	size uint32
}

// allocate makes room for received datagrams of at most size bytes each.
func (d *datagrams) allocate(size int) {
	d.memory, d.size = make([]byte, batchSize*size), size
	for i := range d.headers {
		d.vectors[i].Base = &d.memory[i*size]
		d.vectors[i].SetLen(size)
	}
}

// receive takes as many datagrams as are there, at least one. It does not wait: then the error is EAGAIN.
func (d *datagrams) receive(fd int) (n int, err error) {
	for i := range d.headers {
		h := &d.headers[i].Msghdr
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&d.addresses[i])), unix.SizeofSockaddrInet4
		h.Iov = &d.vectors[i]
		h.SetIovlen(1)
		h.Flags = 0
	}
	for {
		r, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&d.headers)), batchSize,
			unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(r), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// datagram returns a received one, and false if it was larger than the room for it.
func (d *datagrams) datagram(i int) (message []byte, whole bool) {
	h := &d.headers[i]
	return d.memory[i*d.size:][:h.size], h.Flags&unix.MSG_TRUNC == 0
}

// addr returns the sender of a received one.
func (d *datagrams) addr(i int) netip.AddrPort {
	a := &d.addresses[i]
	var port [2]byte
	binary.NativeEndian.PutUint16(port[:], a.Port)
	return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), binary.BigEndian.Uint16(port[:]))
}

// put makes the i-th datagram to be sent: the message, to the sender of a received one.
func (d *datagrams) put(i int, message []byte, received *datagrams, j int) {
	h := &d.headers[i].Msghdr
	h.Name, h.Namelen = (*byte)(unsafe.Pointer(&received.addresses[j])), unix.SizeofSockaddrInet4
	d.vectors[i].Base = &message[0]
	d.vectors[i].SetLen(len(message))
	h.Iov = &d.vectors[i]
	h.SetIovlen(1)
}

// send sends those from first to before end, and returns which one is next. One that cannot be sent is left out. It does not
// wait: then the error is EAGAIN.
func (d *datagrams) send(fd, first, end int) (next int, err error) {
	r, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&d.headers[first])),
		uintptr(end-first), unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0:
		return first + int(r), nil
	case unix.EINTR:
		return first, nil
	case unix.EAGAIN:
		return first, errno
	}
	return first + 1, errno
}
