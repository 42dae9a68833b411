package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ctr/internal/durable"
)

// Lock is the right to change a container. It lasts until Close, and until the end of every process that was given the file.
type Lock struct {
	*os.File
}

// Clone returns a lock that lasts for itself: the right goes back when both are closed.
func (l *Lock) Clone() (*Lock, error) {
	fd, err := unix.FcntlInt(l.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("lock container: %w", os.NewSyscallError("fcntl", err))
	}
	return &Lock{os.NewFile(uintptr(fd), l.Name())}, nil
}

// TryLock takes the lock of a container. It returns ErrBusy if somebody holds it, ErrNotFound if the container has gone.
func (c *Container) TryLock() (*Lock, error) { return c.lock(unix.LOCK_EX | unix.LOCK_NB) }

func (c *Container) lock(how int) (*Lock, error) {
	fd, err := durable.OpenLocked(c.Dir, how)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, notFound(c.Name)
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, ErrBusy
	case err != nil:
		return nil, fmt.Errorf("lock container: %w", err)
	}
	// It may have been removed while we waited for nobody: a lock on a folder that has gone is worth nothing.
	var held, now unix.Stat_t
	if unix.Fstat(fd, &held) != nil || unix.Stat(c.Dir, &now) != nil || held.Dev != now.Dev || held.Ino != now.Ino {
		unix.Close(fd)
		return nil, notFound(c.Name)
	}
	return &Lock{os.NewFile(uintptr(fd), c.Dir)}, nil
}

// Lock takes the lock of a container as soon as it is free. It returns ErrBusy, wrapped, when ctx ends first.
//
// It waits in the kernel, which knows no deadline: so a thread does, and gives the lock back if it is too late. (To look again
// and again kept the monitors, for which a hundred commands waited, from their work.)
func (c *Container) Lock(ctx context.Context) (*Lock, error) {
	if l, err := c.TryLock(); !errors.Is(err, ErrBusy) {
		return l, err
	}
	type outcome struct {
		lock *Lock
		err  error
	}
	waited := make(chan outcome)
	go func() {
		l, err := c.lock(unix.LOCK_EX)
		select {
		case waited <- outcome{l, err}:
		case <-ctx.Done():
			if l != nil {
				l.Close()
			}
		}
	}()
	select {
	case o := <-waited:
		return o.lock, o.err
	case <-ctx.Done():
		return nil, fmt.Errorf("container %s: %w: %w", c.ShortID(), ErrBusy, context.Cause(ctx))
	}
}

// LockChanges takes the right to read the spec, change it and save it, also while the container runs: two commands that do so
// at once would undo each other's change. It comes before every other lock.
func (c *Container) LockChanges() (unlock func(), err error) {
	path := filepath.Join(c.Dir, changeFile)
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return nil, notFound(c.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("lock changes of container: %w", err)
	}
	f.Close()
	unlock, err = durable.Lock(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, notFound(c.Name)
	}
	return unlock, err
}
