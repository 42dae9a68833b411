package ports

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxDatagram is the most that UDP can carry.
	maxDatagram = 65535
	// flowTimeout is how long a flow lives without a packet: Docker's proxy says the same.
	flowTimeout = 90 * time.Second
	sweepEvery  = flowTimeout / 3
	// maxFlows bounds the flows of one Serve: a client makes one per source port, and may forge sources.
	maxFlows = 1024
)

// flowKey is a client, as it sees the port.
type flowKey struct {
	socket int
	client netip.AddrPort
	local  netip.Addr // the address of the host that it sent to
}

// flow is a client's socket to the container, by which answers are known.
type flow struct {
	fd   int
	held *Held // the port that it came through
	used time.Time
}

// receive passes a datagram of a client on to the target.
func (p *proxy) receive(fd int, held *Held, target netip.AddrPort) {
	n, oobn, _, from, err := unix.Recvmsg(fd, p.buffer, p.oob, unix.MSG_DONTWAIT)
	if err != nil {
		return // an error that ICMP reported for an answer, or nothing there after all
	}
	key := flowKey{socket: fd, client: addrPort(from), local: localAddress(p.oob[:oobn])}
	f := p.flows[key]
	if f == nil {
		if f, err = p.open(key, held, target); err != nil {
			return // dropped, as the network may do
		}
	}
	f.used = time.Now()
	_, _ = unix.Write(f.fd, p.buffer[:n])
}

// open makes a flow.
func (p *proxy) open(key flowKey, held *Held, target netip.AddrPort) (*flow, error) {
	if len(p.flows) >= maxFlows {
		p.evict()
	}
	domain := unix.AF_INET
	if target.Addr().Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Connect(fd, sockaddr(target)); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	f := &flow{fd: fd, held: held}
	if err := p.watch(fd, func() { p.answer(key, f) }); err != nil {
		unix.Close(fd)
		return nil, err
	}
	p.flows[key] = f
	held.clients.Add(1)
	return f, nil
}

// answer passes a datagram of the target back to the client.
func (p *proxy) answer(key flowKey, f *flow) {
	n, err := unix.Read(f.fd, p.buffer)
	if err != nil {
		return // nobody listens yet (ECONNREFUSED, reported once): the flow stays, the server may be starting
	}
	f.used = time.Now()
	err = unix.Sendmsg(key.socket, p.buffer[:n], fromAddress(key.local), sockaddr(key.client), unix.MSG_DONTWAIT)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EADDRNOTAVAIL) { // the host has lost the address
		p.end(key)
	}
}

// sweep ends the flows that have been idle too long, if it is time to look.
func (p *proxy) sweep(now time.Time) {
	if now.Sub(p.swept) < sweepEvery {
		return
	}
	p.swept = now
	for key, f := range p.flows {
		if now.Sub(f.used) >= flowTimeout {
			p.end(key)
		}
	}
}

// evict ends the flow that was idle longest.
func (p *proxy) evict() {
	var oldest flowKey
	var used time.Time
	for key, f := range p.flows {
		if used.IsZero() || f.used.Before(used) {
			oldest, used = key, f.used
		}
	}
	p.end(oldest)
}

func (p *proxy) end(key flowKey) {
	f := p.flows[key]
	delete(p.flows, key)
	f.held.clients.Add(-1)
	p.unwatch(f.fd)
	unix.Close(f.fd)
}

// localAddress finds the address that a datagram was sent to in its control messages.
func localAddress(oob []byte) netip.Addr {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.Addr{}
	}
	for _, m := range messages {
		switch {
		// struct in_pktinfo: index, address to answer from, address in the header.
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			return netip.AddrFrom4([4]byte(m.Data[4:8]))
		// struct in6_pktinfo: address in the header, index.
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			addr := netip.AddrFrom16([16]byte(m.Data[:16]))
			if addr.IsLinkLocalUnicast() {
				addr = addr.WithZone(indexName(binary.NativeEndian.Uint32(m.Data[16:20])))
			}
			return addr
		}
	}
	return netip.Addr{}
}

// fromAddress makes the control message that sends a datagram from an address.
func fromAddress(local netip.Addr) []byte {
	switch {
	case !local.IsValid():
		return nil
	case local.Is4():
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: local.As4()})
	default:
		return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: local.As16(), Ifindex: zone(local)})
	}
}
