package dns

import (
	"context"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/network/netns"
)

// dialer runs a function in a network namespace.
type dialer interface{ Do(func() error) error }

// newNamespace makes the namespace of a container, with its loopback device up.
func newNamespace(tb testing.TB) *netns.Handle {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("needs root, to make a network namespace")
	}
	ns, err := netns.New()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { ns.Close() })
	if err := ns.Do(loopbackUp); err != nil {
		tb.Fatal(err)
	}
	return ns
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// served is a server that runs.
type served struct {
	*Server
	udp, tcp netip.AddrPort
}

// serve runs a server for a container until the test ends, and fails the test if it does not end well.
func serve(tb testing.TB, c Config) served {
	tb.Helper()
	ns := newNamespace(tb)
	udp, tcp, err := Listen(ns)
	if err != nil {
		tb.Fatal(err)
	}
	s := served{Server: New(c, ns)}
	s.udp = udp.LocalAddr().(*net.UDPAddr).AddrPort()
	s.tcp = tcp.Addr().(*net.TCPAddr).AddrPort()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, udp, tcp) }()
	tb.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				tb.Error(err)
			}
		case <-time.After(10 * time.Second):
			tb.Error("server has not ended")
		}
	})
	return s
}

func dialUDP(tb testing.TB, ns dialer, addr netip.AddrPort) *net.UDPConn {
	tb.Helper()
	var conn *net.UDPConn
	err := ns.Do(func() (err error) {
		conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return conn
}
