package firewall

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rules of iptables-legacy are in tables of the kernel that nftables neither sees nor changes. They are read as iptables-legacy
// does it, by getsockopt(2) (linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h).

// The hooks (linux/netfilter.h), and what getsockopt takes.
const (
	legacyInput   = 1 // NF_INET_LOCAL_IN
	legacyForward = 2 // NF_INET_FORWARD
	legacyOutput  = 3 // NF_INET_LOCAL_OUT

	legacyGetInfo    = 64 // IPT_SO_GET_INFO, IP6T_SO_GET_INFO
	legacyGetEntries = 65

	legacyName   = 32 // XT_TABLE_MAXNAMELEN
	legacyInfo   = 84 // sizeof(struct ipt_getinfo)
	legacyHeader = 40 // offsetof(struct ipt_get_entries, entrytable)
)

// legacyLayout is where an entry of a family has what.
type legacyLayout struct {
	name, tool               string // of the family in nft's words, and the program for it
	names                    string // the file in /proc/net that lists the tables
	domain, level            int
	size                     int // of the fixed part
	masks                    [2]int
	in, out, inMask, outMask int
	proto, flags, inverted   int
	gotoFlag                 int // IPT_F_GOTO
	target                   int // the offset of target_offset; next_offset follows
}

var legacyLayouts = []legacyLayout{
	{
		name: "ip", tool: "iptables-legacy", names: "ip_tables_names", domain: unix.AF_INET, level: unix.SOL_IP, size: 112,
		masks: [2]int{8, 16}, in: 16, out: 32, inMask: 48, outMask: 64, proto: 80, flags: 82, inverted: 83, gotoFlag: 2, target: 88,
	},
	{
		name: "ip6", tool: "ip6tables-legacy", names: "ip6_tables_names", domain: unix.AF_INET6, level: unix.SOL_IPV6, size: 168,
		masks: [2]int{32, 64}, in: 64, out: 80, inMask: 96, outMask: 112, proto: 128, flags: 131, inverted: 132, gotoFlag: 4, target: 140,
	},
}

// legacyFilter is the table "filter" of one family.
type legacyFilter struct {
	legacyLayout
	begin, policy [5]uint32 // where in entries the chain of a hook begins, and its policy is
	entries       []byte
	err           error // it could not be read
}

// legacyFilters reads the tables "filter" of iptables-legacy that there are. To ask for one that there is not would make it.
func (f *Firewall) legacyFilters() (found []legacyFilter) {
	_ = f.inside(func() error {
		for _, l := range legacyLayouts {
			text, err := os.ReadFile("/proc/thread-self/net/" + l.names)
			if err != nil || !slices.Contains(strings.Fields(string(text)), "filter") {
				continue // no module, no rules
			}
			t := legacyFilter{legacyLayout: l}
			t.err = t.read()
			found = append(found, t)
		}
		return nil
	})
	return found
}

// read reads the table of the namespace of the calling thread.
func (t *legacyFilter) read() error {
	fd, err := unix.Socket(t.domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	for {
		info := make([]byte, legacyInfo)
		copy(info, "filter")
		if err := getsockopt(fd, t.level, legacyGetInfo, info); err != nil {
			return err
		}
		size := binary.NativeEndian.Uint32(info[80:])
		for i := range t.begin {
			t.begin[i] = binary.NativeEndian.Uint32(info[36+4*i:])
			t.policy[i] = binary.NativeEndian.Uint32(info[56+4*i:])
		}
		all := make([]byte, legacyHeader+int(size))
		copy(all, "filter")
		binary.NativeEndian.PutUint32(all[legacyName:], size)
		err := getsockopt(fd, t.level, legacyGetEntries, all)
		if errors.Is(err, unix.EAGAIN) {
			continue // somebody has just changed it
		}
		t.entries = all[legacyHeader:]
		return err
	}
}

// getsockopt is getsockopt(2) with a buffer that says what is asked for.
func getsockopt(fd, level, option int, buf []byte) error {
	size := uint32(len(buf))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return os.NewSyscallError("getsockopt", errno)
	}
	return nil
}

// concerns tells whether a network's packets pass the table.
func (t *legacyFilter) concerns(n Network) bool {
	return slices.ContainsFunc(n.Prefixes, func(p netip.Prefix) bool { return p.Addr().Is6() == (t.domain == unix.AF_INET6) })
}

// families returns the one of the table.
func (t *legacyFilter) families() Families {
	return Families{IPv4: t.domain == unix.AF_INET, IPv6: t.domain == unix.AF_INET6}
}

// check says for which networks the table drops what it does not know, and what to do.
func (t *legacyFilter) check(networks []Network) (findings []Finding) {
	for _, n := range networks {
		if !t.concerns(n) {
			continue
		}
		from, err := t.drops(legacyForward, passage{in: n.Bridge})
		to, err2 := t.drops(legacyForward, passage{out: n.Bridge})
		if err := errors.Join(t.err, err, err2); err != nil {
			return []Finding{{Text: fmt.Sprintf("the table filter of %s is in use and cannot be read: if its chain FORWARD drops, "+
				"containers do not reach the outside: %v", t.tool, err)}}
		}
		if from || to {
			findings = append(findings, Finding{Stops: t.families(), Text: fmt.Sprintf("chain \"FORWARD\" of %s drops what comes from or goes to %s; "+
				"to let it pass: %[1]s -I FORWARD -i %[2]s -j ACCEPT && %[1]s -I FORWARD -o %[2]s -j ACCEPT", t.tool, n.Bridge)})
		}
	}
	return findings
}

// passage is what is known of a packet: the link that it comes in by, or goes out by; empty is any but the other one.
type passage struct{ in, out string }

// maxLegacySteps bounds how many rules are looked at.
const maxLegacySteps = 1 << 16

var errLegacy = errors.New("malformed table")

// drops tells whether the chain of a hook drops or rejects a packet of which no more is known. Rules that need to know more are
// passed over.
func (t *legacyFilter) drops(hook int, p passage) (bool, error) {
	if t.err != nil {
		return false, t.err
	}
	steps := maxLegacySteps
	v, err := t.walk(t.begin[hook], p, &steps)
	if err == nil && v == returned {
		v, err = t.walk(t.policy[hook], p, &steps)
	}
	return v == dropped, err
}

// walk follows a chain from one of its entries on.
func (t *legacyFilter) walk(at uint32, p passage, steps *int) (fate, error) {
	for {
		if *steps--; *steps < 0 || int(at) > len(t.entries)-t.size {
			return 0, errLegacy
		}
		e := t.entries[at:]
		target, next := binary.NativeEndian.Uint16(e[t.target:]), binary.NativeEndian.Uint16(e[t.target+2:])
		if int(next) > len(e) || int(target) < t.size || int(target)+legacyTarget > int(next) {
			return 0, errLegacy
		}
		e = e[:next]
		if t.matches(e[:target], p) {
			v, jump, decided, err := t.decide(e[target:], at+uint32(next))
			switch {
			case err != nil || decided:
				return v, err
			case jump != 0:
				v, err := t.walk(jump, p, steps)
				if err != nil || v != returned || int(e[t.flags])&t.gotoFlag != 0 {
					return v, err
				}
			}
		}
		at += uint32(next)
	}
}

// legacyTarget is the size of a target's, and of a match's, header: its size, name and revision.
const legacyTarget = 32

// decide reads a target: a verdict, or where to go on before what follows the entry.
func (t *legacyFilter) decide(b []byte, following uint32) (v fate, jump uint32, decided bool, err error) {
	switch legacyWord(b) {
	case "REJECT":
		return dropped, 0, true, nil
	case "ERROR": // the beginning of the next chain, or the end
		return returned, 0, true, nil
	case "":
	default:
		return 0, 0, false, nil // LOG and the like
	}
	if len(b) < legacyTarget+4 {
		return 0, 0, false, errLegacy
	}
	const drop, accept, back = -1, -2, -5 // -NF_DROP - 1, -NF_ACCEPT - 1, XT_RETURN
	switch n := int32(binary.NativeEndian.Uint32(b[legacyTarget:])); {
	case n == drop:
		return dropped, 0, true, nil
	case n == accept:
		return accepted, 0, true, nil
	case n == back:
		return returned, 0, true, nil
	case n > 0 && uint32(n) != following:
		return 0, uint32(n), false, nil
	}
	return 0, 0, false, nil
}

// matches tells whether an entry is about every packet of the passage.
func (t *legacyFilter) matches(e []byte, p passage) bool {
	const viaIn, viaOut = 1, 2 // IPT_INV_VIA_IN, IPT_INV_VIA_OUT, and of IP6T
	inverted := e[t.inverted]
	if inverted&^(viaIn|viaOut) != 0 || int(e[t.flags])&^t.gotoFlag != 0 ||
		binary.NativeEndian.Uint16(e[t.proto:]) != 0 || !zero(e[t.masks[0]:t.masks[1]]) {
		return false
	}
	if !via(e[t.in:t.in+16], e[t.inMask:t.inMask+16], p.in, p.out, inverted&viaIn != 0) ||
		!via(e[t.out:t.out+16], e[t.outMask:t.outMask+16], p.out, p.in, inverted&viaOut != 0) {
		return false
	}
	for m := e[t.size:]; len(m) >= legacyTarget; {
		size := int(binary.NativeEndian.Uint16(m))
		if legacyWord(m) != "comment" || size < legacyTarget || size > len(m) {
			return false
		}
		m = m[size:]
	}
	return true
}

// via tells whether a link is what an entry wants. One that is not known is any but the other.
func via(want, mask []byte, link, other string, inverted bool) bool {
	switch {
	case zero(mask):
		return true
	case link == "":
		return other != "" && inverted && named(want, mask, other)
	}
	return named(want, mask, link) != inverted
}

func named(want, mask []byte, link string) bool {
	for i, b := range ifname(link) {
		if b&mask[i] != want[i]&mask[i] {
			return false
		}
	}
	return true
}

func zero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// legacyWord is the name in the header of a match or a target.
func legacyWord(b []byte) string {
	word, _, _ := bytes.Cut(b[2:31], []byte{0})
	return string(word)
}
