package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lockPoll is how often Lock looks again. The kernel can wait for an flock, but not with a deadline.
const lockPoll = 5 * time.Millisecond

// Lock is the right to change a container. It lasts until Close, and until the end of every process that was given the file.
type Lock struct {
	*os.File
}

// TryLock takes the lock of a container. It returns ErrBusy if somebody holds it, ErrNotFound if the container has gone.
func (c *Container) TryLock() (*Lock, error) {
	f, err := os.Open(c.Dir)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, notFound(c.Name)
		}
		return nil, fmt.Errorf("lock container: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrBusy
		}
		return nil, fmt.Errorf("lock container: %w", os.NewSyscallError("flock", err))
	}
	// It may have been removed while we waited for nobody: a lock on a folder that has gone is worth nothing.
	if held, err := f.Stat(); err == nil {
		if now, err := os.Stat(c.Dir); err == nil && os.SameFile(held, now) {
			return &Lock{f}, nil
		}
	}
	f.Close()
	return nil, notFound(c.Name)
}

// Lock takes the lock of a container as soon as it is free. It returns ErrBusy, wrapped, when ctx ends first.
func (c *Container) Lock(ctx context.Context) (*Lock, error) {
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		l, err := c.TryLock()
		if !errors.Is(err, ErrBusy) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("container %s: %w: %w", c.ShortID(), ErrBusy, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
