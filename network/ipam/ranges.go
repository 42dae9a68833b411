package ipam

import (
	"iter"
	"net/netip"
	"slices"
)

// Range is where the addresses of a subnet are taken from.
type Range struct {
	Subnet   netip.Prefix
	Within   netip.Prefix // a part of Subnet; zero: all of it
	Reserved []netip.Addr // never given: the gateway, auxiliary addresses
}

// Free yields the addresses that may be given, the lowest first.
func (r Range) Free() iter.Seq[netip.Addr] {
	within := r.Within
	if !within.IsValid() {
		within = r.Subnet
	}
	return func(yield func(netip.Addr) bool) {
		for a := within.Masked().Addr(); a.IsValid() && within.Contains(a); a = a.Next() {
			if r.Usable(a) && !yield(a) {
				return
			}
		}
	}
}

// Usable tells whether a container may have the address: it is in the subnet (though perhaps not in Within), and it is
// neither reserved nor the subnet's own or broadcast address. A subnet of two addresses or one has neither of these
// (RFC 3021, RFC 6164), and IPv6 has no broadcast.
func (r Range) Usable(a netip.Addr) bool {
	if !r.Subnet.Contains(a) || slices.Contains(r.Reserved, a) {
		return false
	}
	if a.BitLen()-r.Subnet.Bits() < 2 {
		return true
	}
	return a != r.Subnet.Masked().Addr() && (a.Is6() || a != last(r.Subnet))
}

// First returns the first address that may be a gateway's: the lowest usable one, or the zero Addr if there is none.
func (r Range) First() netip.Addr {
	for a := range r.Free() {
		return a
	}
	return netip.Addr{}
}
