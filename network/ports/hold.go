package ports

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"ctr/network/netns"
)

// attempts is how many free ports of the kernel's choice are tried: one that is free for IPv4 may be taken for IPv6.
const attempts = 64

// Hold binds all the ports in a network namespace (nil: the process's own), or none: on error nothing stays held. Who asks
// for both families gets one of them on a host that has only one. The caller closes what it gets.
func Hold(ns *netns.Handle, list []Port) (held []*Held, err error) {
	defer func() {
		if err != nil {
			for _, h := range held {
				err = errors.Join(err, h.Close())
			}
			held = nil
		}
	}()
	if err := Room(0, list); err != nil {
		return nil, err
	}
	return held, within(ns, func() error {
		for _, p := range list {
			h, err := hold(p)
			var inUse *InUseError
			if errors.As(err, &inUse) && p.HostPort != 0 && p.HostPortEnd <= p.HostPort {
				inUse.PID, inUse.Process = holder(p)
			}
			if err != nil {
				return err
			}
			held = append(held, h)
		}
		return nil
	})
}

// HoldFree binds those of the ports that nobody has; the others are nil.
func HoldFree(ns *netns.Handle, list []Port) (held []*Held, err error) {
	held = make([]*Held, len(list))
	return held, within(ns, func() error {
		for i, p := range list {
			var inUse *InUseError
			if held[i], err = hold(p); err != nil && !errors.As(err, &inUse) {
				return err
			}
		}
		return nil
	})
}

// within runs f in a network namespace; nil is the process's own.
func within(ns *netns.Handle, f func() error) error {
	if ns == nil {
		return f()
	}
	return ns.Do(f)
}

// spare is how many files a process has open besides its ports, at most.
const spare = 256

// Room refuses more ports than a process may have sockets; 0 is the calling one.
func Room(pid int, list []Port) error {
	var sockets uint64
	for _, p := range list {
		sockets += uint64(len(families(p.HostIP)))
	}
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		return os.NewSyscallError("prlimit", err)
	}
	if sockets+spare <= limit.Cur {
		return nil
	}
	return fmt.Errorf("%d ports are too many: they take %d sockets, and a process may have %d files open here (ulimit -n)", len(list), sockets, limit.Cur)
}

// hold binds one port, in the namespace of the calling thread.
func hold(p Port) (*Held, error) {
	if !slices.Contains([]Protocol{TCP, UDP, SCTP}, p.Protocol) {
		return nil, fmt.Errorf("port %d/%s %w: only tcp, udp and sctp can", p.HostPort, p.Protocol, ErrUnsupported)
	}
	candidates := []uint16{p.HostPort}
	switch {
	case p.HostPort == 0:
		candidates = make([]uint16, attempts)
	case p.HostPortEnd > p.HostPort:
		for port := int(p.HostPort) + 1; port <= int(p.HostPortEnd); port++ {
			candidates = append(candidates, uint16(port))
		}
	}
	for _, port := range candidates {
		files, taken, err := bindAll(p.Protocol, families(p.HostIP), port)
		if err == nil {
			return &Held{Port: Port{Protocol: p.Protocol, HostIP: p.HostIP, HostPort: taken}, Files: files}, nil
		}
		if p.Protocol == SCTP && errors.Is(err, unix.EPROTONOSUPPORT) {
			return nil, fmt.Errorf("port %d/%s %w: this kernel lacks CONFIG_IP_SCTP", p.HostPort, p.Protocol, ErrUnsupported)
		}
		if errors.Is(err, unix.EADDRNOTAVAIL) {
			return nil, fmt.Errorf("bind %s/%s: no such address on this host: %w", p, p.Protocol, unix.EADDRNOTAVAIL)
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			return nil, fmt.Errorf("bind %s/%s: %w", p, p.Protocol, err)
		}
	}
	return nil, &InUseError{Port: p}
}

// families returns the addresses to bind for a host address.
func families(host netip.Addr) []netip.Addr {
	if host.IsValid() {
		return []netip.Addr{host.Unmap()}
	}
	return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
}

// bindAll binds the port, or the one that the kernel chooses first, on all the addresses, or on none.
func bindAll(protocol Protocol, addrs []netip.Addr, port uint16) (files []*os.File, taken uint16, err error) {
	defer func() {
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			files = nil
		}
	}()
	taken = port
	for _, addr := range addrs {
		f, bound, err := bind(protocol, netip.AddrPortFrom(addr, taken))
		if errors.Is(err, unix.EAFNOSUPPORT) && len(addrs) > 1 {
			continue // a kernel without one of the two
		}
		if err != nil {
			return files, 0, err
		}
		taken = bound
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, 0, unix.EAFNOSUPPORT
	}
	return files, taken, nil
}

// bind makes a socket that holds the address, and listens if it is TCP's.
func bind(protocol Protocol, at netip.AddrPort) (f *os.File, port uint16, err error) {
	domain, kind, number := unix.AF_INET, unix.SOCK_STREAM, 0
	if at.Addr().Is6() {
		domain = unix.AF_INET6
	}
	option := wantReuse
	switch protocol {
	case TCP:
	case UDP:
		kind, option = unix.SOCK_DGRAM, wantLocalAddress
	case SCTP:
		number, option = unix.IPPROTO_SCTP, wantNothing
	}
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, number)
	if err != nil {
		return nil, 0, os.NewSyscallError("socket", err)
	}
	// Made blocking on purpose: the runtime then leaves the descriptor alone, however many there are.
	f = os.NewFile(uintptr(fd), string(protocol)+":"+at.String())
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if domain == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return nil, 0, os.NewSyscallError("setsockopt", err)
		}
	}
	if err := option(fd, at.Addr()); err != nil {
		return nil, 0, err
	}
	if err := unix.Bind(fd, sockaddr(at)); err != nil {
		return nil, 0, os.NewSyscallError("bind", err)
	}
	if protocol == TCP {
		if err := unix.Listen(fd, unix.SOMAXCONN); err != nil {
			return nil, 0, os.NewSyscallError("listen", err)
		}
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return nil, 0, os.NewSyscallError("getsockname", err)
	}
	return f, addrPort(bound).Port(), nil
}

// wantReuse lets TCP take a port over connections in TIME_WAIT. Nobody can take it from a socket that listens by the same
// means (socket(7)). With UDP it would mean sharing.
func wantReuse(fd int, _ netip.Addr) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
}

// wantNothing leaves SCTP's sockets alone: with SO_REUSEADDR two that do not listen would share the port.
func wantNothing(int, netip.Addr) error { return nil }

// wantLocalAddress has the kernel tell to which address a datagram was sent (ip(7), ipv6(7)): an answer that comes from
// another one than was asked is thrown away by the client.
func wantLocalAddress(fd int, local netip.Addr) error {
	level, option := unix.IPPROTO_IP, unix.IP_PKTINFO
	if local.Is6() {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, option, 1))
}

// indexName is the zone of an address by the number of its interface.
func indexName(index uint32) string { return strconv.FormatUint(uint64(index), 10) }

// sockaddr is an address as the system calls take it, addrPort what they return.
func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: zone(a.Addr())}
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		addr := netip.AddrFrom16(sa.Addr)
		if sa.ZoneId != 0 {
			addr = addr.WithZone(indexName(sa.ZoneId))
		}
		return netip.AddrPortFrom(addr, uint16(sa.Port))
	}
	return netip.AddrPort{}
}
