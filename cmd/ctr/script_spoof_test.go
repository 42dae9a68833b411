package main_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// cmdSpoof sends frames from a namespace's eth0 that claim what is not true, as whoever has NET_RAW can:
//
//	spoof NETNS mac MAC            a broadcast from that MAC
//	spoof NETNS arp ADDRESS MAC    ARP, asked and answered: the address is at the MAC
//	spoof NETNS na ADDRESS MAC     a neighbour advertisement: the address is at the MAC
//	spoof NETNS ra PREFIX          a router advertisement: a router is here, with a prefix to take addresses of
func cmdSpoof(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: spoof NETNS mac|arp|na|ra WHAT...")
	}
	ts.Check(inside(ts, args[0], func() error {
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		frames, err := forge(link.HardwareAddr, args[1], args[2:])
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for range 3 {
			for _, f := range frames {
				if err := unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: link.Index}); err != nil {
					return err
				}
			}
		}
		return nil
	}))
}

// forge makes the frames of one lie.
func forge(own net.HardwareAddr, kind string, args []string) ([][]byte, error) {
	broadcast := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	mac, address := own, netip.IPv4Unspecified()
	var err error
	if last := args[len(args)-1]; kind != "ra" {
		if mac, err = net.ParseMAC(last); err != nil {
			return nil, err
		}
	}
	switch kind {
	case "mac":
		return [][]byte{arpFrame(broadcast, mac, 1, address, mac)}, nil
	case "arp", "na":
		if address, err = netip.ParseAddr(args[0]); err != nil {
			return nil, err
		}
		if kind == "na" {
			return [][]byte{icmpFrame(own, address, advertisement(address, mac))}, nil
		}
		return [][]byte{arpFrame(broadcast, own, 1, address, mac), arpFrame(broadcast, own, 2, address, mac)}, nil
	case "ra":
		prefix, err := netip.ParsePrefix(args[0])
		if err != nil {
			return nil, err
		}
		return [][]byte{icmpFrame(own, netip.MustParseAddr("fe80::bad"), routerAdvertisement(prefix, own))}, nil
	}
	return nil, fmt.Errorf("unknown lie %q", kind)
}

// arpFrame is an Ethernet frame with an ARP packet about one address.
func arpFrame(to, from net.HardwareAddr, operation byte, address netip.Addr, mac net.HardwareAddr) []byte {
	f := append(append(append([]byte{}, to...), from...), 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, operation)
	f = append(append(f, mac...), address.AsSlice()...)
	return append(append(f, to...), address.AsSlice()...)
}

// advertisement is a neighbour advertisement that overrides what is known (RFC 4861, 4.4).
func advertisement(address netip.Addr, mac net.HardwareAddr) []byte {
	m := append([]byte{136, 0, 0, 0, 0x20, 0, 0, 0}, address.AsSlice()...)
	return append(append(m, 2, 1), mac...)
}

// routerAdvertisement is one with a prefix for addresses and a default route (RFC 4861, 4.2 and 4.6).
func routerAdvertisement(prefix netip.Prefix, mac net.HardwareAddr) []byte {
	m := []byte{134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}
	m = append(append(m, mac...), 3, 4, byte(prefix.Bits()), 0xc0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	return append(m, prefix.Addr().AsSlice()...)
}

// icmpFrame is an Ethernet frame with an ICMPv6 message to all nodes.
func icmpFrame(own net.HardwareAddr, from netip.Addr, message []byte) []byte {
	all := netip.MustParseAddr("ff02::1")
	pseudo := append(append(append([]byte{}, from.AsSlice()...), all.AsSlice()...), 0, 0, 0, byte(len(message)), 0, 0, 0, 58)
	binary.BigEndian.PutUint16(message[2:], checksum(append(pseudo, message...)))
	f := append(append([]byte{0x33, 0x33, 0, 0, 0, 1}, own...), 0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(message)), 58, 255)
	return append(append(append(f, from.AsSlice()...), all.AsSlice()...), message...)
}

// checksum is that of RFC 1071. The length of b is even.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
