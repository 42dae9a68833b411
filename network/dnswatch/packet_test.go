package dnswatch

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/net/bpf"
)

// udp4 makes a packet of UDP over IPv4, with bytes of options in the header.
func udp4(from, to string, options int, payload []byte) []byte {
	a, b := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	p := make([]byte, 20+options, 20+options+headerUDP+len(payload))
	p[0], p[9] = byte(0x45+options/4), 17
	copy(p[12:], a.Addr().AsSlice())
	copy(p[16:], b.Addr().AsSlice())
	p = binary.BigEndian.AppendUint16(p, a.Port())
	p = binary.BigEndian.AppendUint16(p, b.Port())
	p = binary.BigEndian.AppendUint16(p, uint16(headerUDP+len(payload)))
	p = append(append(p, 0, 0), payload...)
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	return p
}

// tcp6 makes a packet of TCP over IPv6.
func tcp6(from, to string, payload []byte) []byte {
	a, b := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	p := make([]byte, header6+20, header6+20+len(payload))
	p[0], p[6] = 0x60, 6
	copy(p[8:], a.Addr().AsSlice())
	copy(p[24:], b.Addr().AsSlice())
	binary.BigEndian.PutUint16(p[header6:], a.Port())
	binary.BigEndian.PutUint16(p[header6+2:], b.Port())
	p[header6+12] = 5 << 4
	p = append(p, payload...)
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-header6))
	return p
}

func TestParsePacket(t *testing.T) {
	t.Parallel()
	p, ok := parsePacket(append(udp4("10.0.0.1:5", "10.0.0.2:53", 8, []byte("abc")), "trailer"...))
	if !ok || p.tcp || p.from.String() != "10.0.0.1:5" || p.to.String() != "10.0.0.2:53" || string(p.payload) != "abc" {
		t.Errorf("UDP over IPv4: %+v, %v", p, ok)
	}
	p, ok = parsePacket(tcp6("[fd00::1]:5", "[fd00::2]:53", []byte("\x00\x01a\x00\x02bc\x00\x09cut")))
	if !ok || !p.tcp || p.from.String() != "[fd00::1]:5" {
		t.Errorf("TCP over IPv6: %+v, %v", p, ok)
	}
	if m := p.messages(); len(m) != 2 || string(m[0]) != "a" || string(m[1]) != "bc" {
		t.Errorf("messages %q", m)
	}
	whole := udp4("10.0.0.1:5", "10.0.0.2:53", 0, []byte("abc"))
	for n := range len(whole) {
		if _, ok := parsePacket(whole[:n]); ok {
			t.Errorf("%d bytes of a packet are one", n)
		}
	}
}

// TestFilter runs the kernel's program in a machine of our own.
func TestFilter(t *testing.T) {
	t.Parallel()
	program, err := filter()
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]bpf.Instruction, len(program))
	for i, p := range program {
		raw[i] = bpf.RawInstruction{Op: p.Code, Jt: p.Jt, Jf: p.Jf, K: p.K}.Disassemble()
	}
	vm, err := bpf.NewVM(raw)
	if err != nil {
		t.Fatal(err)
	}
	fragment := udp4("10.0.0.1:53", "10.0.0.2:53", 0, []byte("a"))
	fragment[7] = 1
	icmp := udp4("10.0.0.1:53", "10.0.0.2:53", 0, []byte("a"))
	icmp[9] = 1
	for name, test := range map[string]struct {
		packet []byte
		want   bool
	}{
		"question":              {udp4("10.0.0.1:999", "10.0.0.2:53", 0, []byte("a")), true},
		"answer":                {udp4("10.0.0.1:53", "10.0.0.2:999", 0, []byte("a")), true},
		"behind options":        {udp4("10.0.0.1:999", "10.0.0.2:53", 12, []byte("a")), true},
		"to the resolver":       {udp4("127.0.0.1:999", "127.0.0.11:40000", 0, []byte("a")), true},
		"from the resolver":     {udp4("127.0.0.11:40000", "127.0.0.1:999", 0, []byte("a")), true},
		"other ports":           {udp4("10.0.0.1:999", "10.0.0.2:5353", 0, []byte("a")), false},
		"a fragment":            {fragment, false},
		"ICMP":                  {icmp, false},
		"IPv6":                  {tcp6("[fd00::1]:5", "[fd00::2]:53", nil), true},
		"IPv6, from the server": {tcp6("[fd00::1]:53", "[fd00::2]:5", nil), true},
		"IPv6, other ports":     {tcp6("[fd00::1]:5", "[fd00::2]:54", nil), false},
		"ARP":                   {make([]byte, 28), false},
	} {
		if n, err := vm.Run(test.packet); err != nil || (n > 0) != test.want {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
}

func FuzzPacket(f *testing.F) {
	f.Add(udp4("10.0.0.1:999", "10.0.0.2:53", 0, question(7, "db.", 1)))
	f.Add(tcp6("[fd00::1]:5", "[fd00::2]:53", append([]byte{0, 20}, question(7, "db.", 1)...)))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := parsePacket(b)
		if !ok {
			return
		}
		open := questions{}
		open.take(p, start, func(Question) { t.Error("an answer without a question") })
		if len(open) > len(b) {
			t.Errorf("%d questions in %d bytes", len(open), len(b))
		}
		back := packet{tcp: p.tcp, from: p.to, to: p.from, payload: p.payload}
		open.take(back, start, func(Question) {})
	})
}
