package ports

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// What sock_diag(7) calls TCP sockets that are bound and neither listen nor connect: TCP_BOUND_INACTIVE (linux/tcp_states.h). No
// file in /proc has them. Linux 6.8 (commit 91051f003948, "tcp: Dump bound-only sockets in inet_diag"); older ones list none.
const tcpBoundInactive = 13

const (
	diagRequest = 56 // the size of struct inet_diag_req_v2 (linux/inet_diag.h)
	diagMessage = 72 // and of struct inet_diag_msg
)

// boundOnly lists the TCP sockets that have the port and are bound only, in the namespace of the calling thread.
func boundOnly(port uint16) (all []socket) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		if err := unix.Sendto(fd, boundRequest(family), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return all
		}
		for done := false; !done; {
			var buf [32 << 10]byte
			n, _, err := unix.Recvfrom(fd, buf[:], 0)
			if err != nil {
				return all
			}
			var some []socket
			some, done = parseBound(buf[:n])
			for _, s := range some {
				if s.local.Port() == port {
					all = append(all, s)
				}
			}
		}
	}
	return all
}

// boundRequest asks for all such sockets of a family.
func boundRequest(family byte) []byte {
	b := make([]byte, unix.SizeofNlMsghdr+diagRequest)
	native := binary.NativeEndian
	native.PutUint32(b, uint32(len(b)))
	native.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	native.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	request := b[unix.SizeofNlMsghdr:]
	request[0], request[1] = family, unix.IPPROTO_TCP
	native.PutUint32(request[4:], 1<<tcpBoundInactive)
	return b
}

// parseBound reads an answer, and tells whether it is the last one.
func parseBound(b []byte) (all []socket, done bool) {
	native := binary.NativeEndian
	for len(b) >= unix.SizeofNlMsghdr {
		size, kind := int(native.Uint32(b)), native.Uint16(b[4:])
		if kind != unix.SOCK_DIAG_BY_FAMILY || size < unix.SizeofNlMsghdr+diagMessage || size > len(b) {
			return all, true // NLMSG_DONE, or an error
		}
		m := b[unix.SizeofNlMsghdr:size]
		address := m[8:12] // of id, a struct inet_diag_sockid: two ports, then the local address
		if m[0] == unix.AF_INET6 {
			address = m[8:24]
		}
		if addr, ok := netip.AddrFromSlice(address); ok {
			at := netip.AddrPortFrom(addr, binary.BigEndian.Uint16(m[4:]))
			all = append(all, socket{at, strconv.FormatUint(uint64(native.Uint32(m[68:])), 10), false})
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return all, false
}
