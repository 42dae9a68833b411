package dns

import (
	"bytes"
	"math/rand/v2"
	"net/netip"

	"ctr/network/names"
)

// zone is a network that is asked, with what is open of it.
type zone struct {
	Network
	reader *names.Reader
}

// finding is what the zones say about a question. The zero value: nothing, so it may be forwarded.
type finding struct {
	ours    bool // it is about a container; without records, the answer is empty
	entries []names.Entry
	name    string // PTR
	owner   names.Owner
	zone    *zone
}

// find looks a question up in the zones. Its entries are valid until the next look-up.
func find(zones []zone, q *query, l *lookups) (finding, error) {
	if len(q.text) == 0 {
		return finding{}, nil
	}
	if addr, ok := reverseAddr(q.text); ok {
		return findAddress(zones, addr)
	}
	f, err := findName(zones, q.text, nil, q.qtype, l)
	for i := len(q.text) - 1; i > 0 && !f.ours && err == nil; i-- {
		if q.text[i] == '.' {
			f, err = findName(zones, q.text[:i], q.text[i+1:], q.qtype, l)
		}
	}
	return f, err
}

// findName looks for a name on every network, or on the one that is named. The first that has an address of the right family
// answers; else the name is known if any network knows it.
func findName(zones []zone, name, network []byte, qtype uint16, l *lookups) (finding, error) {
	var f finding
	for i := range zones {
		z := &zones[i]
		if network != nil && !equalFold(network, z.Name) {
			continue
		}
		all, err := l.entries(z, name)
		if err != nil {
			return finding{}, err
		}
		if len(all) == 0 {
			continue
		}
		if !f.ours {
			f = finding{ours: true, zone: z, owner: all[0].Owner}
		}
		if wanted := ofType(all, qtype); len(wanted) > 0 {
			rand.Shuffle(len(wanted), func(i, j int) { wanted[i], wanted[j] = wanted[j], wanted[i] })
			return finding{ours: true, zone: z, entries: wanted, owner: wanted[0].Owner}, nil
		}
	}
	return f, nil
}

// ofType keeps the entries that a question of the type is answered with, in the same memory.
func ofType(entries []names.Entry, qtype uint16) []names.Entry {
	kept := entries[:0]
	for _, e := range entries {
		if qtype == typeANY || qtype == typeA && e.Addr.Is4() || qtype == typeAAAA && e.Addr.Is6() {
			kept = append(kept, e)
		}
	}
	return kept
}

func findAddress(zones []zone, addr netip.Addr) (finding, error) {
	for i := range zones {
		name, owner, exists, err := zones[i].reader.Reverse(addr)
		if err != nil {
			return finding{}, err
		}
		if exists {
			return finding{ours: true, name: name, owner: owner, zone: &zones[i]}, nil
		}
	}
	return finding{}, nil
}

// write puts the records of a finding into a reply.
func (f finding) write(r *reply) {
	q := r.query
	if q.class != classIN {
		return
	}
	for _, e := range f.entries {
		r.address(e.Addr, f.zone.TTL)
	}
	if f.name != "" && (q.qtype == typePTR || q.qtype == typeANY) {
		r.pointer(f.name+"."+f.zone.Name, f.zone.TTL)
	}
}

// reverseAddr reads the name of a reverse question: RFC 1035 section 3.5, RFC 3596 section 2.5. A name below one of the two
// domains that is no whole address is none.
func reverseAddr(text []byte) (netip.Addr, bool) {
	const v4, v6 = ".in-addr.arpa", ".ip6.arpa"
	if n := len(text) - len(v4); n > 0 && equalFold(text[n:], v4) {
		return reverseAddr4(text[:n])
	}
	if n := len(text) - len(v6); n > 0 && equalFold(text[n:], v6) {
		return reverseAddr6(text[:n])
	}
	return netip.Addr{}, false
}

func reverseAddr4(text []byte) (netip.Addr, bool) {
	var addr [4]byte
	for i := 3; i >= 0; i-- {
		label, rest, more := bytes.Cut(text, []byte{'.'})
		if more != (i > 0) || len(label) == 0 || len(label) > 3 || len(label) > 1 && label[0] == '0' {
			return netip.Addr{}, false
		}
		n := 0
		for _, c := range label {
			if c < '0' || c > '9' {
				return netip.Addr{}, false
			}
			n = n*10 + int(c-'0')
		}
		if n > 255 {
			return netip.Addr{}, false
		}
		addr[i], text = byte(n), rest
	}
	return netip.AddrFrom4(addr), true
}

func reverseAddr6(text []byte) (netip.Addr, bool) {
	if len(text) != 63 {
		return netip.Addr{}, false
	}
	var addr [16]byte
	for i := range 32 {
		if i > 0 && text[2*i-1] != '.' {
			return netip.Addr{}, false
		}
		c := lower(text[2*i])
		var nibble byte
		switch {
		case c >= '0' && c <= '9':
			nibble = c - '0'
		case c >= 'a' && c <= 'f':
			nibble = c - 'a' + 10
		default:
			return netip.Addr{}, false
		}
		addr[15-i/2] |= nibble << (4 * (i % 2))
	}
	return netip.AddrFrom16(addr), true
}

// singleLabel tells whether the name is one label, which a search list would complete.
func (q *query) singleLabel() bool { return len(q.text) > 0 && !bytes.Contains(q.text, []byte{'.'}) }
