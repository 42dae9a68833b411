package ports

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Forward says where what reaches a held port goes.
type Forward struct {
	Held *Held
	// Targets are the addresses of the container: a client gets the first one of its own address family, else the first.
	Targets []netip.AddrPort
}

// Serve proxies what reaches the ports to the containers, which it connects to from the network namespace of the process,
// until the context ends: then it closes all connections, waits for them and returns nil. The sockets stay open; they are
// the caller's to close or to pass on.
//
// All ports are watched by one goroutine and one epoll instance (a port costs no memory but the kernel's); TCP connections
// have goroutines of their own, UDP flows do not.
func Serve(ctx context.Context, forwards ...Forward) error { return serve(ctx, nil, forwards) }

// serve is Serve, and takes other ports on the way.
func serve(ctx context.Context, changes *Server, forwards []Forward) error {
	p, err := newProxy(ctx, forwards)
	if err != nil {
		return fmt.Errorf("serve published ports: %w", err)
	}
	if changes != nil {
		changes.begin(p)
	}
	err = p.run()
	p.close()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve published ports: %w", err)
	}
	return nil
}

// proxy is one call of Serve. Its loop owns all but the TCP connections.
type proxy struct {
	ctx    context.Context
	epoll  int
	events *os.File       // the descriptor epoll, as the runtime waits for it
	ready  map[int]func() // by descriptor: what to do when it is readable
	flows  map[flowKey]*flow
	swept  time.Time // when idle flows were last looked for
	buffer []byte    // for one datagram
	oob    []byte    // for its control messages
	spare  *os.File  // given up when there are no descriptors left, so that a connection can be refused
	relays sync.WaitGroup

	served  map[*Held]Forward
	cuts    map[*Held]cut // of ports that have had a connection
	changes chan change   // nil: there are none
}

// cut ends the connections of one port.
type cut struct {
	ctx context.Context
	now context.CancelFunc
}

func newProxy(ctx context.Context, forwards []Forward) (p *proxy, err error) {
	p = &proxy{
		ctx: ctx, epoll: -1, ready: map[int]func(){}, flows: map[flowKey]*flow{}, served: map[*Held]Forward{}, cuts: map[*Held]cut{},
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return p, os.NewSyscallError("epoll_create1", err)
	}
	// Non-blocking, so that the runtime's own epoll instance watches this one: waiting costs no thread.
	if err := unix.SetNonblock(p.epoll, true); err != nil {
		unix.Close(p.epoll)
		return p, os.NewSyscallError("fcntl", err)
	}
	p.events = os.NewFile(uintptr(p.epoll), "epoll")
	if err = p.save(); err != nil {
		return p, err
	}
	for _, f := range forwards {
		if err := p.add(f); err != nil {
			return p, err
		}
	}
	return p, nil
}

// add watches the sockets of a port.
func (p *proxy) add(f Forward) error {
	if len(f.Targets) == 0 {
		return fmt.Errorf("port %s/%s has no target", f.Held.Port, f.Held.Port.Protocol)
	}
	p.served[f.Held] = f
	if f.Held.Port.Protocol == SCTP {
		return nil // only held
	}
	for _, file := range f.Held.Files {
		if err := p.listen(int(file.Fd()), f); err != nil {
			return err
		}
	}
	return nil
}

// listen watches one socket of a port.
func (p *proxy) listen(fd int, f Forward) error {
	// After Fd, which makes it blocking.
	if err := unix.SetNonblock(fd, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	local, err := unix.Getsockname(fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	at := addrPort(local)
	target := f.target(at.Addr())
	if f.Held.Port.Protocol == TCP {
		return p.watch(fd, func() { p.accept(fd, f.Held, target) })
	}
	if p.buffer == nil {
		p.buffer, p.oob = make([]byte, maxDatagram), make([]byte, 128)
	}
	return p.watch(fd, func() { p.receive(fd, f.Held, target) })
}

// target returns the target for clients of the family of an address.
func (f Forward) target(local netip.Addr) netip.AddrPort {
	for _, t := range f.Targets {
		if t.Addr().Unmap().Is4() == local.Unmap().Is4() {
			return netip.AddrPortFrom(t.Addr().Unmap(), t.Port())
		}
	}
	return netip.AddrPortFrom(f.Targets[0].Addr().Unmap(), f.Targets[0].Port())
}

// watch has do called whenever the descriptor is readable.
func (p *proxy) watch(fd int, do func()) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	p.ready[fd] = do
	return nil
}

// unwatch undoes watch. The caller closes the descriptor.
func (p *proxy) unwatch(fd int) {
	delete(p.ready, fd)
	_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, fd, nil) // closing does the same
}

// run waits for readable sockets and handles them, until the context ends.
func (p *proxy) run() error {
	conn, err := p.events.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(p.ctx, func() { _ = p.events.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	events := make([]unix.EpollEvent, 64)
	for p.ctx.Err() == nil {
		if err := p.setDeadline(); err != nil {
			return err
		}
		var n int
		var waitErr error
		err := conn.Read(func(fd uintptr) bool {
			n, waitErr = unix.EpollWait(int(fd), events, 0)
			return n != 0
		})
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			n = 0
		case err != nil:
			return err
		case errors.Is(waitErr, unix.EINTR):
			continue
		case waitErr != nil:
			return os.NewSyscallError("epoll_wait", waitErr)
		}
		for _, e := range events[:n] {
			if do := p.ready[int(e.Fd)]; do != nil {
				do()
			}
		}
		p.takeChanges()
		p.sweep(time.Now())
	}
	return nil
}

// setDeadline has run wake up to look for idle flows, if there are any.
func (p *proxy) setDeadline() error {
	var deadline time.Time
	if len(p.flows) > 0 {
		deadline = time.Now().Add(sweepEvery)
	}
	if err := p.events.SetReadDeadline(deadline); err != nil {
		return err
	}
	if p.ctx.Err() != nil || len(p.changes) > 0 { // it may just have ended, and set the deadline that was overwritten
		return p.events.SetReadDeadline(time.Unix(1, 0))
	}
	return nil
}

// close ends what there is but the sockets of the ports.
func (p *proxy) close() {
	for _, c := range p.cuts {
		c.now()
	}
	p.relays.Wait()
	for _, f := range p.flows {
		f.held.clients.Add(-1)
		unix.Close(f.fd)
	}
	for _, f := range []*os.File{p.events, p.spare} {
		if f != nil {
			f.Close()
		}
	}
}

// accept takes one connection off a listening socket.
func (p *proxy) accept(fd int, held *Held, target netip.AddrPort) {
	client, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		p.refuse(fd)
		return
	}
	if err != nil {
		return // gone before it was accepted, or a network error that belongs to it (accept(2))
	}
	_ = p.save() // it may have been lost
	// Until a relay has it, closing it means that something is wrong.
	resetOnClose(client)
	f := os.NewFile(uintptr(client), "client")
	conn, err := net.FileConn(f) // a copy
	f.Close()
	if err != nil {
		return
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		conn.Close()
		return
	}
	held.clients.Add(1)
	ctx := p.cutOf(held)
	p.relays.Go(func() {
		defer held.clients.Add(-1)
		relay(ctx, tcp, target)
	})
}

// refuse resets one connection when there is no descriptor left to accept it with: else it would wait in the queue for
// ever, and the loop would run in circles.
func (p *proxy) refuse(fd int) {
	if p.save() != nil {
		return
	}
	p.spare.Close()
	p.spare = nil
	if client, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC); err == nil {
		resetOnClose(client)
		unix.Close(client)
	}
	_ = p.save() // else somebody was faster
}

// save keeps a descriptor to be given up by refuse, unless there is one.
func (p *proxy) save() (err error) {
	if p.spare == nil {
		p.spare, err = os.Open("/dev/null")
	}
	return err
}

// resetOnClose has a connection end with RST when it is closed.
func resetOnClose(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}
