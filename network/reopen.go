package network

import (
	"net"

	"ctr/network/netns"
	"ctr/network/ports"
)

// Reopen makes a sandbox of its record and of what is open in it, for the process that takes it over from the one that set it
// up. The descriptors belong to the sandbox from then on.
func (n *Networks) Reopen(record string, ns *netns.Handle, udp *net.UDPConn, tcp *net.TCPListener, held []*ports.Held) (*Sandbox, error) {
	r, err := ReadRecord(record)
	if err != nil {
		return nil, err
	}
	return &Sandbox{Record: r, NetNS: ns, DNS: r.DNS, DNSUDP: udp, DNSTCP: tcp, Ports: held, networks: n}, nil
}
