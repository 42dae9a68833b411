package keep

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"ctr/internal/proc"
	"ctr/runtime/attach"
)

// HoldFor keeps the sandbox for as long as the process runs, as a client with Request.Hold does. It is for one whose connection
// ended with the keeper before this one. One that has ended holds nothing.
func (k *Keeper) HoldFor(p proc.ID) error {
	pidfd, err := p.Open()
	if errors.Is(err, proc.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer pidfd.Close()
	fd, err := unix.FcntlInt(pidfd.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	k.holdBy(fd)
	return nil
}

// holdBy takes a pidfd for a holder.
func (k *Keeper) holdBy(fd int) {
	_ = unix.SetNonblock(fd, true) // for the runtime to wait for it together with all others
	c := &client{process: openFD(fd), want: attach.Request{Version: attach.Version, Hold: true}}
	k.hub.add(c)
	k.loops.Go(func() { k.serve(c) })
}

// serveProcess waits for the end of a holder, or until the keeper is suspended.
func (k *Keeper) serveProcess(c *client) {
	conn, err := c.process.SyscallConn()
	if err == nil {
		err = conn.Read(func(fd uintptr) bool {
			n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			return n > 0
		})
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return
	}
	k.hub.remove(c)
	c.leave()
}
