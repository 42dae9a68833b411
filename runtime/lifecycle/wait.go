package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"ctr/runtime/attach"
	"ctr/runtime/container"
)

// Wait returns how a container ended, as soon as it does not run; at once if it does not run now (0 if it never has). It never misses an end:
// a monitor that outlives its program's tells those who come later as well (keep.Keeper.Rest), any other one hangs up.
func (in *Installation) Wait(ctx context.Context, c *container.Container) (attach.Result, error) {
	result, known, err := in.waitEnd(ctx, c)
	if err != nil || known {
		return result, err
	}
	state := c.State()
	if result.ExitCode = state.ExitCode; state.ExitCode == container.ExitUnknown {
		result.Unknown = state.Error
	}
	return result, nil
}

// waitEnd waits until the container's present run is over and taken down. known tells whether the monitor said how it ended;
// else the records do.
func (in *Installation) waitEnd(ctx context.Context, c *container.Container) (result attach.Result, known bool, err error) {
	p := patient(c)
	for range dyingTries {
		if !in.meet(ctx, c) {
			break
		}
		result, known, err = in.waitKept(ctx, c)
		if !errors.Is(err, attach.ErrKeeperGone) {
			return result, known, err
		}
		if err := p.wait(ctx); err != nil { // one that was killed may have yet to end
			return attach.Result{}, false, err
		}
	}
	return attach.Result{}, false, in.waitOrphan(ctx, c)
}

// dyingTries is how often a monitor that lives, and has no ear for clients, is looked at again.
const dyingTries = 500

// waitKept does so while the present monitor lives; then it returns attach.ErrKeeperGone.
func (in *Installation) waitKept(ctx context.Context, c *container.Container) (result attach.Result, known bool, err error) {
	conn, err := attach.Dial(c.AttachPath())
	if err != nil {
		return attach.Result{}, false, in.waitUnheard(ctx, c)
	}
	client, err := attach.NewClient(conn, attach.Streams{})
	if err != nil {
		return attach.Result{}, false, in.waitUnheard(ctx, c)
	}
	stop := context.AfterFunc(ctx, func() { client.Close() })
	defer stop()
	result, err = client.Wait()
	if ctx.Err() != nil {
		return attach.Result{}, false, context.Cause(ctx)
	}
	return result, err == nil, err
}

// waitUnheard says what it means that nobody listens: that the container does not run, or that its monitor was killed.
func (in *Installation) waitUnheard(ctx context.Context, c *container.Container) error {
	if record, err := c.ReadMonitor(); err == nil && record.Init.Alive() {
		return attach.ErrKeeperGone
	}
	return in.waitOrphan(ctx, c)
}

// waitOrphan waits for the end of a container that runs without a monitor. Without a process there is nothing to wait for.
func (in *Installation) waitOrphan(ctx context.Context, c *container.Container) error {
	record, err := c.ReadMonitor()
	if err != nil {
		return nil // no record: it does not run
	}
	f, err := record.Init.Open()
	if err != nil {
		return nil // it has ended
	}
	defer f.Close()
	return pollReadable(ctx, int(f.Fd()))
}

// pollReadable waits until a descriptor is readable: a pidfd is when its process has ended.
func pollReadable(ctx context.Context, fd int) error {
	for ctx.Err() == nil {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, pollSlice(ctx))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("wait for process: %w", err)
		case n > 0:
			return nil
		}
	}
	return context.Cause(ctx)
}

// pollSlice is how long poll may sleep before it looks at ctx again, in milliseconds.
func pollSlice(ctx context.Context) int {
	slice := 100 * time.Millisecond
	if end, ok := ctx.Deadline(); ok {
		slice = min(slice, max(time.Until(end), 0)+time.Millisecond)
	}
	return int(slice.Milliseconds())
}
