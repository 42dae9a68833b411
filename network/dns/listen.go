package dns

import (
	"fmt"
	"net"
	"net/netip"

	"ctr/network/netns"
)

// Address is where a container's resolver listens, on random ports; rules lead port 53 of it there, so that the container
// may run a server of its own on port 53.
var Address = netip.AddrFrom4([4]byte{127, 0, 0, 11})

// Listen opens the resolver's two sockets in the network namespace, whose loopback device must be up. The caller closes them,
// or hands them to Serve.
func Listen(ns *netns.Handle) (udp *net.UDPConn, tcp *net.TCPListener, err error) {
	addr := netip.AddrPortFrom(Address, 0)
	err = ns.Do(func() error {
		if udp, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(addr)); err != nil {
			return err
		}
		if tcp, err = net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(addr)); err != nil {
			udp.Close()
			return err
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("listen for DNS: %w", err)
	}
	return udp, tcp, nil
}
