package network

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
)

// mark returns the alias of a link of ours: "ctr <id>", or "ctr-<tag> <id>". The names of our links are those that Docker
// uses as well, so a name says nothing about whose a link is.
func mark(tag, id string) string { return prefix(tag) + " " + id }

// markedID returns what the alias of a link of ours names: the ID of a network for a device of it, of a container for its
// end of a veth pair.
func markedID(tag, alias string) (id string, ok bool) {
	return strings.CutPrefix(alias, prefix(tag)+" ")
}

func prefix(tag string) string {
	if tag == "" {
		return "ctr"
	}
	return "ctr-" + tag
}

// newID returns a new ID: 64 hexadecimal digits.
func newID() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: the program ends if the kernel has no randomness
	return hex.EncodeToString(b[:])
}

// macOf returns the MAC of an address: 02:42 and an IPv4 address, or 02:42 and four bytes of the hash of an IPv6 one. Whoever
// gets an address again has the MAC that the neighbours remember.
func macOf(v4, v6 netip.Addr) net.HardwareAddr {
	mac := net.HardwareAddr{0x02, 0x42, 0, 0, 0, 0}
	if v4.IsValid() {
		copy(mac[2:], v4.AsSlice())
	} else {
		sum := sha256.Sum256(v6.AsSlice())
		copy(mac[2:], sum[:4])
	}
	return mac
}
