package lifecycle

import (
	"context"
	"fmt"
	"time"

	"ctr/runtime/container"
)

// settleTimeout bounds how long a command waits for a monitor to take down what has ended, or for another command.
const settleTimeout = 30 * time.Second

// settling returns a context that ends when a command has waited long enough, and then says so.
func settling(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, settleTimeout, fmt.Errorf("it has not ended for %v: try again when it has", settleTimeout))
}

// The longest and the shortest time in which a patience looks by itself: at a record that a monitor wrote without giving the lock
// back.
const (
	settlePoll    = 2 * time.Millisecond
	maxSettlePoll = 64 * time.Millisecond
)

// patience waits for what somebody does to a container: whoever holds its lock wakes us up by giving it back (flock(2)), and what
// they write meanwhile is looked at more and more seldom. inotify(7) would tell of that as well, at a price: to close an instance
// waits for an SRCU grace period, 5 to 20 ms, at the end of the process, too.
type patience struct {
	c     *container.Container
	freed chan struct{} // closed when the lock was free; nil: nobody waits for that
	pause time.Duration
}

func patient(c *container.Container) *patience { return &patience{c: c, pause: settlePoll} }

// wait returns when it is worth to look again. It returns container.ErrBusy, wrapped, when ctx has ended.
func (p *patience) wait(ctx context.Context) error {
	if p.freed == nil {
		p.freed = make(chan struct{})
		go p.awaitLock(ctx, p.freed)
	}
	moment := time.NewTimer(p.pause)
	defer moment.Stop()
	select {
	case <-p.freed:
		p.freed = nil
	case <-moment.C:
	case <-ctx.Done():
		return fmt.Errorf("container %s: %w: %w", p.c.Name, container.ErrBusy, context.Cause(ctx))
	}
	p.pause = min(2*p.pause, maxSettlePoll)
	return nil
}

// awaitLock closes the channel when the lock is free.
func (p *patience) awaitLock(ctx context.Context, freed chan struct{}) {
	defer close(freed)
	if lock, err := p.c.TryLock(); err == nil {
		// It is free already: what we wait for is that its last holder is dead, or has a record.
		lock.Close()
		time.Sleep(settlePoll) //nolint:forbidigo // Nobody tells.
		return
	}
	if lock, err := p.c.Lock(ctx); err == nil {
		lock.Close()
	}
}
