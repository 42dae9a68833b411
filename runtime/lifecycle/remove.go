package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"ctr/internal/durable"
	"ctr/runtime/container"
	"ctr/runtime/monitor"
)

// Remove removes a container; with Force also one that runs, which is killed, and one whose records are damaged. It returns
// container.ErrRunning without Force.
func (in *Installation) Remove(ctx context.Context, c *container.Container, opts RemoveOptions) error {
	lock, err := in.lockToRemove(ctx, c, opts.Force)
	if errors.Is(err, container.ErrNotFound) && (opts.Force || c.AutoRemove) {
		return nil // it was faster itself
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if opts.Force {
		err = in.takeDown(c)
	} else {
		err = in.recover(c)
	}
	if err != nil {
		return fmt.Errorf("take over container %s: %w", c.Name, err)
	}
	if c.State().Running() {
		return &cannotRemoveError{c.Name, container.Running} // started meanwhile, and its monitor was killed
	}
	if err := in.Networks.ForgetName(c.ID, c.Name); err != nil {
		return fmt.Errorf("remove container %s: %w", c.Name, err)
	}
	return in.Discard(c, opts.Volumes || c.AutoRemove)
}

// lockToRemove takes the lock of a container that does not run, or with force of one that it has killed. A container that
// another command has started meanwhile is met again.
func (in *Installation) lockToRemove(ctx context.Context, c *container.Container, force bool) (*container.Lock, error) {
	ctx, cancel := settling(ctx)
	defer cancel()
	begin, dismissed := time.Now(), false
	p := patient(c)
	for {
		state := c.State()
		switch {
		case force && state.PID == 0 && state.Status != container.Restarting: // none, or one that is being taken down
		case force:
			if err := in.kill(ctx, c); err != nil {
				return nil, err
			}
		case state.Running() || state.Status == container.Restarting:
			return nil, &cannotRemoveError{c.Name, state.Status}
		}
		lock, err := c.TryLock()
		if !errors.Is(err, container.ErrBusy) {
			return lock, err
		}
		record, err := c.ReadMonitor()
		switch {
		case err == nil && record.Lingering && !dismissed:
			dismissed = monitor.Dismiss(c) == nil
		case force && time.Since(begin) > lostAfter && !record.Lingering:
			// Its monitor lives, and nothing tells what it keeps: records were removed, or are damaged.
			begin = time.Now()
			if err := errors.Join(in.destroyCgroups(c.ID), in.Networks.Forget(c.ID)); err != nil {
				return nil, fmt.Errorf("end container %s: %w", c.Name, err)
			}
		}
		if err := p.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// lostAfter is more than a monitor needs to take down a container that was killed.
const lostAfter = 2 * time.Second

// kill ends a container at once.
func (in *Installation) kill(ctx context.Context, c *container.Container) error {
	if err := c.AskStop(); err != nil {
		return err
	}
	err := in.Signal(ctx, c, unix.SIGKILL)
	if errors.Is(err, container.ErrNotRunning) {
		return nil
	}
	if errors.Is(err, durable.ErrDamaged) {
		err = in.destroyCgroups(c.ID)
	}
	if err != nil {
		return err
	}
	return in.waitOrphan(ctx, c)
}

type cannotRemoveError struct {
	name   string
	status container.Status
}

func (e *cannotRemoveError) Error() string {
	return fmt.Sprintf("cannot remove container %q: container is %s: stop the container before removing or force remove", e.name, e.status)
}

func (e *cannotRemoveError) Unwrap() error { return container.ErrRunning }
