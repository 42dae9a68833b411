package firewall

import (
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The words of nft(8) that our rules are made of. Each returns the expressions that nft would have made of it, registers
// included: what the kernel lists can be compared with what was sent.

// statement is one or more expressions of a rule.
type statement []expr.Any

// field is one part of a packet or its metadata that a set can be asked for. Its length is in registers of 4 bytes.
type field struct {
	length uint32
	load   func(register uint32) expr.Any
}

func metaField(key expr.MetaKey, length uint32) field {
	return field{length, func(r uint32) expr.Any { return &expr.Meta{Key: key, Register: r} }}
}

func payloadField(base expr.PayloadBase, offset, bytes uint32) field {
	return field{(bytes + 3) / 4, func(r uint32) expr.Any {
		return &expr.Payload{DestRegister: r, Base: base, Offset: offset, Len: bytes}
	}}
}

// The fields, as nft calls them.
var (
	iifname = metaField(expr.MetaKeyIIFNAME, 4)
	oifname = metaField(expr.MetaKeyOIFNAME, 4)
	l4proto = metaField(expr.MetaKeyL4PROTO, 1)
	thDport = payloadField(expr.PayloadBaseTransportHeader, thDportOffset, 2)
	thSport = payloadField(expr.PayloadBaseTransportHeader, thSportOffset, 2)
	// icmpDport is the port that a packet went to that an ICMP error quotes: behind 8 bytes of ICMP and 20 of IP.
	icmpDport = payloadField(expr.PayloadBaseTransportHeader, icmpDportOffset, 2)
)

// Where ports are in the headers of TCP, UDP and SCTP, and in an ICMP error.
const (
	thSportOffset   = 0
	thDportOffset   = 2
	icmpDportOffset = 8 + 20 + thDportOffset
)

// checksumOffsets tell where the headers have a checksum of the kind of IP's.
var checksumOffsets = map[Protocol]uint32{"udp": 6, "tcp": 16, "icmp": 2}

// ipVersion is what differs between the two families: nft calls them ip and ip6.
type ipVersion struct {
	family       byte // NFPROTO_*
	icmp         byte // IPPROTO_* of its messages
	length       int  // of an address in bytes
	saddr, daddr field
}

var (
	ip4 = ipVersion{
		unix.NFPROTO_IPV4, unix.IPPROTO_ICMP, 4,
		payloadField(expr.PayloadBaseNetworkHeader, 12, 4), payloadField(expr.PayloadBaseNetworkHeader, 16, 4),
	}
	ip6 = ipVersion{
		unix.NFPROTO_IPV6, unix.IPPROTO_ICMPV6, 16,
		payloadField(expr.PayloadBaseNetworkHeader, 8, 16), payloadField(expr.PayloadBaseNetworkHeader, 24, 16),
	}
)

// register numbers the n-th register of 4 bytes as the kernel does when it lists rules: by 16 bytes where that fits.
func register(n uint32) uint32 {
	if n%4 == 0 {
		return unix.NFT_REG_1 + n/4
	}
	return unix.NFT_REG32_00 + n
}

// concat loads fields side by side, from the first register on: "a . b . c".
func concat(fields ...field) statement {
	var s statement
	var n uint32
	for _, f := range fields {
		s = append(s, f.load(register(n)))
		n += f.length
	}
	return s
}

// compare compares the first register with data.
func compare(op expr.CmpOp, data []byte) expr.Any {
	return &expr.Cmp{Op: op, Register: unix.NFT_REG_1, Data: data}
}

// is is "field VALUE".
func is(f field, value []byte) statement {
	return append(concat(f), compare(expr.CmpOpEq, value))
}

// isNot is "field != VALUE".
func isNot(f field, value []byte) statement {
	return append(concat(f), compare(expr.CmpOpNeq, value))
}

// in is "fields @set", notIn "fields != @set".
func in(set string, fields ...field) statement {
	return append(concat(fields...), &expr.Lookup{SourceRegister: unix.NFT_REG_1, SetName: set})
}

func notIn(set string, fields ...field) statement {
	return append(concat(fields...), &expr.Lookup{SourceRegister: unix.NFT_REG_1, SetName: set, Invert: true})
}

// vmap is "fields vmap @set".
func vmap(set string, fields ...field) statement {
	return append(concat(fields...), &expr.Lookup{SourceRegister: unix.NFT_REG_1, SetName: set, IsDestRegSet: true})
}

// nfproto is "meta nfproto ipv4" or ipv6: what every look into an IP header needs in a table of the inet family.
func nfproto(v ipVersion) statement {
	return is(metaField(expr.MetaKeyNFPROTO, 1), []byte{v.family})
}

// loopback4 is "ip daddr 127.0.0.0/8", loopback6 "ip6 daddr ::1".
func loopback4() statement {
	return append(nfproto(ip4), is(payloadField(expr.PayloadBaseNetworkHeader, 16, 1), []byte{127})...)
}

func loopback6() statement {
	return append(nfproto(ip6), is(ip6.daddr, []byte{15: 1})...)
}

// fromLinkLocal6 is "ip6 saddr fe80::/10".
func fromLinkLocal6() statement {
	mask := make([]byte, ip6.length)
	copy(mask, []byte{0xff, 0xc0})
	prefix := make([]byte, ip6.length)
	copy(prefix, []byte{0xfe, 0x80})
	return append(append(nfproto(ip6), concat(ip6.saddr)...),
		&expr.Bitwise{
			SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: uint32(ip6.length), Mask: mask, Xor: make([]byte, ip6.length),
		},
		compare(expr.CmpOpEq, prefix))
}

// icmpv6 is "icmpv6 type TYPE".
func icmpv6(kind byte) statement {
	return append(is(l4proto, []byte{unix.IPPROTO_ICMPV6}),
		is(payloadField(expr.PayloadBaseTransportHeader, 0, 1), []byte{kind})...)
}

// protocolIP is "meta protocol ip": what a look into an IPv4 header needs in a table of the netdev family.
func protocolIP() statement {
	return is(metaField(expr.MetaKeyPROTOCOL, 1), binaryutil.BigEndian.PutUint16(unix.ETH_P_IP))
}

// icmpUnreachable is "icmp type destination-unreachable".
func icmpUnreachable() statement {
	return append(is(l4proto, []byte{unix.IPPROTO_ICMP}),
		is(payloadField(expr.PayloadBaseTransportHeader, 0, 1), []byte{3})...)
}

// set16 is "udp dport set VALUE": two bytes at an offset of the transport header, with the checksum at another one.
func set16(offset uint32, value uint16, checksum uint32) statement {
	return statement{
		&expr.Immediate{Register: unix.NFT_REG_1, Data: binaryutil.BigEndian.PutUint16(value)},
		&expr.Payload{
			OperationType: expr.PayloadWrite, SourceRegister: unix.NFT_REG_1,
			Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2,
			CsumType: expr.CsumTypeInet, CsumOffset: checksum,
		},
	}
}

// fibLocal is "fib daddr type local"; fibNotLocalHere "fib daddr . iif type != local": not an address of the interface that
// the packet came in by.
func fibLocal() statement {
	return statement{
		&expr.Fib{Register: unix.NFT_REG_1, FlagDADDR: true, ResultADDRTYPE: true},
		compare(expr.CmpOpEq, binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)),
	}
}

func fibNotLocalHere() statement {
	return statement{
		&expr.Fib{Register: unix.NFT_REG_1, FlagDADDR: true, FlagIIF: true, ResultADDRTYPE: true},
		compare(expr.CmpOpNeq, binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)),
	}
}

// ctFlag is "ct KEY FLAGS": any of the flags is set.
func ctFlag(key expr.CtKey, flags uint32) statement {
	return statement{
		&expr.Ct{Register: unix.NFT_REG_1, Key: key},
		&expr.Bitwise{
			SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(flags), Xor: make([]byte, 4),
		},
		compare(expr.CmpOpNeq, make([]byte, 4)),
	}
}

// ctEstablished is "ct state established,related".
func ctEstablished() statement {
	return ctFlag(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)
}

// ctDNAT is "ct status dnat". The flag is IPS_DST_NAT of linux/netfilter/nf_conntrack_common.h.
func ctDNAT() statement {
	return ctFlag(expr.CtKeySTATUS, 1<<5)
}

func verdict(kind expr.VerdictKind, chain string) *expr.Verdict {
	return &expr.Verdict{Kind: kind, Chain: chain}
}

func accept() statement              { return statement{verdict(expr.VerdictAccept, "")} }
func drop() statement                { return statement{verdict(expr.VerdictDrop, "")} }
func jump(chain string) statement    { return statement{verdict(expr.VerdictJump, chain)} }
func toChain(chain string) statement { return statement{verdict(expr.VerdictGoto, chain)} }
func masquerade() statement          { return statement{&expr.Masq{}} }

// dnatMap is "dnat ip to FIELDS map @set": the map holds an address with a port.
func dnatMap(v ipVersion, set string, fields ...field) statement {
	s := append(nfproto(v), concat(fields...)...)
	return append(s,
		&expr.Lookup{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, IsDestRegSet: true, SetName: set},
		&expr.NAT{
			Type: expr.NATTypeDestNAT, Family: uint32(v.family), Specified: true,
			RegAddrMin: register(0), RegProtoMin: register(uint32(v.length) / 4),
		})
}

// port is a port as packets have it.
func port(p uint16) []byte { return binaryutil.BigEndian.PutUint16(p) }
