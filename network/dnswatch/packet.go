package dnswatch

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

const (
	port      = 53
	maxPacket = 1<<16 - 1
	header6   = 40 // of IPv6
	headerUDP = 8
)

// packet is what one packet carries.
type packet struct {
	tcp      bool
	from, to netip.AddrPort
	payload  []byte
}

// parsePacket reads a packet that begins with the header of IP. One that is cut or not of UDP or TCP is none.
func parsePacket(b []byte) (p packet, ok bool) {
	if len(b) < 20 {
		return p, false
	}
	var from, to netip.Addr
	var protocol byte
	switch b[0] >> 4 {
	case 4:
		size, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		if size < 20 || total < size || total > len(b) {
			return p, false
		}
		protocol, from, to = b[9], netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
		b = b[size:total]
	case 6:
		if len(b) < header6 || int(binary.BigEndian.Uint16(b[4:])) > len(b)-header6 {
			return p, false
		}
		protocol, from, to = b[6], netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
		b = b[header6:][:binary.BigEndian.Uint16(b[4:])]
	default:
		return p, false
	}
	size := headerUDP
	if p.tcp = protocol == unix.IPPROTO_TCP; p.tcp && len(b) >= 20 {
		size = int(b[12]>>4) * 4
	}
	if !p.tcp && protocol != unix.IPPROTO_UDP || len(b) < size || size < headerUDP {
		return p, false
	}
	p.from = netip.AddrPortFrom(from, binary.BigEndian.Uint16(b))
	p.to = netip.AddrPortFrom(to, binary.BigEndian.Uint16(b[2:]))
	p.payload = b[size:]
	return p, true
}

// messages returns the DNS messages in a packet: over TCP those that are whole in it, each behind its length.
func (p packet) messages() [][]byte {
	if !p.tcp {
		return [][]byte{p.payload}
	}
	var all [][]byte
	for rest := p.payload; len(rest) > 2; {
		n := int(binary.BigEndian.Uint16(rest))
		if n == 0 || n > len(rest)-2 {
			break
		}
		all = append(all, rest[2:][:n])
		rest = rest[2+n:]
	}
	return all
}
