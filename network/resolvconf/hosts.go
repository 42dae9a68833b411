package resolvconf

import (
	"fmt"
	"net/netip"
	"strings"
)

// Host is one line of a hosts file.
type Host struct {
	Address netip.Addr
	Names   []string
}

// Hosts returns a hosts file: lo's names, the extra lines, then the container's own. The names of IPv6's special addresses
// are left out where the container has no IPv6.
func Hosts(ipv6 bool, extra, own []Host) []byte {
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost\n")
	if ipv6 {
		b.WriteString("::1\tlocalhost ip6-localhost ip6-loopback\n" +
			"fe00::\tip6-localnet\n" +
			"ff00::\tip6-mcastprefix\n" +
			"ff02::1\tip6-allnodes\n" +
			"ff02::2\tip6-allrouters\n")
	}
	for _, hosts := range [][]Host{extra, own} {
		for _, h := range hosts {
			fmt.Fprintf(&b, "%s\t%s\n", h.Address, printable(strings.Join(h.Names, " ")))
		}
	}
	return []byte(b.String())
}
