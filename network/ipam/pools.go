// Package ipam chooses subnets and addresses.
//
// Choosing a subnet is pure: the caller says what is taken. A lease of an address is a file of its own in the folder of a
// network,
//
//	<run root>/networks/<id>/leases/<address> -> <container ID> <name> <pid>:<start>[,<pid>:<start>...] <record>
//
// a symbolic link, because symlink(2) makes the file, its name and its content in one step and fails if the name is taken.
// A lease lives while one of its processes does; a dead one is free for whoever finds it. The package owns these folders'
// content and nothing else.
package ipam

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// ErrExhausted is returned when no subnet, or no address of a subnet, is free.
var ErrExhausted = errors.New("no free one is left")

// Pool is a range of addresses that is cut in subnets of one size.
type Pool struct {
	Base netip.Prefix
	Bits int // the prefix length of its subnets
}

// LocalPools returns the pools that IPv4 subnets come from, in order: Docker's.
func LocalPools() []Pool {
	pool := func(base string, bits int) Pool { return Pool{netip.MustParsePrefix(base), bits} }
	return []Pool{
		pool("172.17.0.0/16", 16), pool("172.18.0.0/16", 16), pool("172.19.0.0/16", 16),
		pool("172.20.0.0/14", 16), pool("172.24.0.0/14", 16), pool("172.28.0.0/14", 16),
		pool("192.168.0.0/16", 20),
	}
}

// ULAPool returns the pool of /64 IPv6 subnets of the installation that the seed names: a unique local /48 (RFC 4193) made
// of 40 bits of the seed's hash, so that it is the same after a reboot and differs from that of other hosts.
func ULAPool(seed string) Pool {
	sum := sha256.Sum256([]byte(seed))
	a := [16]byte{0xfd}
	copy(a[1:6], sum[:5])
	return Pool{netip.PrefixFrom(netip.AddrFrom16(a), 48), 64}
}

// NextSubnet returns the first subnet of the pools that overlaps none of those taken, or ErrExhausted.
func NextSubnet(pools []Pool, taken []netip.Prefix) (netip.Prefix, error) {
	for _, pool := range pools {
		p := netip.PrefixFrom(pool.Base.Addr(), pool.Bits)
		for p.IsValid() && pool.Base.Contains(p.Addr()) {
			i := slices.IndexFunc(taken, p.Overlaps)
			if i < 0 {
				return p, nil
			}
			// Go on behind what is in the way: it may be larger than one subnet.
			p = netip.PrefixFrom(last(wider(p, taken[i])).Next(), pool.Bits)
		}
	}
	return netip.Prefix{}, fmt.Errorf("find a subnet: all predefined address pools have been fully subnetted: %w", ErrExhausted)
}

// wider returns that one of two overlapping prefixes which holds the other.
func wider(a, b netip.Prefix) netip.Prefix {
	if a.Bits() <= b.Bits() {
		return a.Masked()
	}
	return b.Masked()
}

// last returns the highest address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
