package main_test

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// SCTP, of which package net knows nothing, by sockets that each are one association (sctp(7), "one-to-one").

// haveSCTP tells whether the kernel has the protocol.
func haveSCTP() bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}

// serveSCTP answers on a port until the socket is shut, which stop does.
func serveSCTP(port uint16, word string) (stop func(), err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Port: int(port)}), unix.Listen(fd, 5)); err != nil {
		unix.Close(fd)
		return nil, err
	}
	go func() {
		for {
			client, from, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
			if err != nil {
				return
			}
			if at, ok := from.(*unix.SockaddrInet4); ok {
				_, _ = unix.Write(client, answer(word, &net.TCPAddr{IP: at.Addr[:], Port: at.Port}))
			}
			unix.Close(client)
		}
	}()
	return func() { _ = unix.Shutdown(fd, unix.SHUT_RDWR); unix.Close(fd) }, nil
}

// askSCTP returns what a server says.
func askSCTP(address string, patience time.Duration) ([]byte, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	limit := unix.NsecToTimeval(int64(patience))
	for _, option := range []int{unix.SO_SNDTIMEO, unix.SO_RCVTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &limit); err != nil {
			return nil, err
		}
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}); err != nil {
		return nil, err
	}
	buf := make([]byte, 100)
	n, err := unix.Read(fd, buf)
	if err == nil && n == 0 {
		err = errors.New("closed without an answer")
	}
	return buf[:max(n, 0)], err
}
