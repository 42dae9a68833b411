package lifecycle

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"ctr/runtime/container"
	"ctr/runtime/monitor"
)

// Remove removes a container; with Force also one that runs, which is killed. It returns container.ErrRunning without Force.
func (in *Installation) Remove(ctx context.Context, c *container.Container, opts RemoveOptions) error {
	state := c.State()
	switch {
	case state.Active() && opts.Force:
		if err := in.kill(ctx, c); err != nil {
			return err
		}
	case state.Running() || state.Status == container.Restarting:
		return &cannotRemoveError{c.Name, state.Status}
	}
	if record, err := c.ReadMonitor(); err == nil && record.Lingering && record.Monitor.Alive() {
		if err := monitor.Dismiss(c); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	lock, err := c.Lock(ctx)
	if errors.Is(err, container.ErrNotFound) && (opts.Force || c.AutoRemove) {
		return nil // it was faster itself
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := in.recover(c); err != nil {
		return fmt.Errorf("take over container %s: %w", c.Name, err)
	}
	if c.State().Running() {
		return &cannotRemoveError{c.Name, container.Running} // started meanwhile, and its monitor was killed
	}
	return in.Discard(c, opts.Volumes || c.AutoRemove)
}

// kill ends a container at once.
func (in *Installation) kill(ctx context.Context, c *container.Container) error {
	if err := c.AskStop(); err != nil {
		return err
	}
	err := in.Signal(ctx, c, unix.SIGKILL)
	if errors.Is(err, container.ErrNotRunning) {
		return nil
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
