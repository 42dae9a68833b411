package dnswatch

import (
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// resolver is 127.0.0.11. Behind it the kernel leads questions to a random port, so the port does not tell them.
const resolver = 127<<24 | 11

// filter picks packets of UDP and TCP, from or to port 53 or the resolver. It runs in the kernel, on packets that begin with
// the header of IP. The numbers are those of the instructions, as tcpdump(1) prints them with -d.
func filter() ([]unix.SockFilter, error) {
	const ipv6, accept, drop = 17, 25, 26
	jump := func(at int, cond bpf.JumpTest, val uint32, yes, no int) bpf.Instruction {
		return bpf.JumpIf{Cond: cond, Val: val, SkipTrue: uint8(yes - at - 1), SkipFalse: uint8(no - at - 1)}
	}
	raw, err := bpf.Assemble([]bpf.Instruction{
		0:  bpf.LoadAbsolute{Off: 0, Size: 1},
		1:  bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf0},
		2:  jump(2, bpf.JumpEqual, 0x40, 3, ipv6),
		3:  bpf.LoadAbsolute{Off: 9, Size: 1},
		4:  jump(4, bpf.JumpEqual, unix.IPPROTO_UDP, 6, 5),
		5:  jump(5, bpf.JumpEqual, unix.IPPROTO_TCP, 6, drop),
		6:  bpf.LoadAbsolute{Off: 6, Size: 2},
		7:  jump(7, bpf.JumpBitsSet, 0x1fff, drop, 8), // not the first fragment: it has no ports
		8:  bpf.LoadAbsolute{Off: 12, Size: 4},
		9:  jump(9, bpf.JumpEqual, resolver, accept, 10),
		10: bpf.LoadAbsolute{Off: 16, Size: 4},
		11: jump(11, bpf.JumpEqual, resolver, accept, 12),
		12: bpf.LoadMemShift{Off: 0},
		13: bpf.LoadIndirect{Off: 0, Size: 2},
		14: jump(14, bpf.JumpEqual, port, accept, 15),
		15: bpf.LoadIndirect{Off: 2, Size: 2},
		16: jump(16, bpf.JumpEqual, port, accept, drop),
		17: jump(17, bpf.JumpEqual, 0x60, 18, drop),
		18: bpf.LoadAbsolute{Off: 6, Size: 1}, // no extension headers: no DNS has them
		19: jump(19, bpf.JumpEqual, unix.IPPROTO_UDP, 21, 20),
		20: jump(20, bpf.JumpEqual, unix.IPPROTO_TCP, 21, drop),
		21: bpf.LoadAbsolute{Off: header6, Size: 2},
		22: jump(22, bpf.JumpEqual, port, accept, 23),
		23: bpf.LoadAbsolute{Off: header6 + 2, Size: 2},
		24: jump(24, bpf.JumpEqual, port, accept, drop),
		25: bpf.RetConstant{Val: maxPacket},
		26: bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return nil, err
	}
	all := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		all[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return all, nil
}
