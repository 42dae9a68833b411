package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ctr/rootfs"
	"ctr/runtime/container"
	"ctr/runtime/engine"
)

// defaultStopTimeout is how long `stop` waits before it kills, as in Docker.
const defaultStopTimeout = 10 * time.Second

// Signal sends a signal to the container's first process. One that asks programs to end counts as a wish that it stays down:
// its restart policy does not bring it back. It returns container.ErrNotRunning if there is no process.
func (in *Installation) Signal(_ context.Context, c *container.Container, sig unix.Signal) error {
	_, err := c.RequireRunning()
	if err != nil {
		return fmt.Errorf("cannot kill container: %s: %w", c.Name, err)
	}
	if asksToEnd(c, sig) {
		if err := c.AskStop(); err != nil {
			return err
		}
	}
	if err := in.signal(c, sig); err != nil {
		return fmt.Errorf("cannot kill container: %s: %w", c.Name, err)
	}
	return nil
}

// asksToEnd tells the signals that end a program from those that mean something else to it, such as to read its files again.
// With Docker any signal keeps a container from being restarted ever after, unless it names a stop signal of its own.
func asksToEnd(c *container.Container, sig unix.Signal) bool {
	if slices.Contains([]unix.Signal{unix.SIGKILL, unix.SIGTERM, unix.SIGINT, unix.SIGQUIT}, sig) {
		return true
	}
	stop, err := ParseSignal(c.StopSignal)
	return err == nil && sig == stop
}

// Stop asks the container to end, waits, and kills it if it does not. It returns when the container is taken down; at once if
// it does not run. A restart policy does not bring it back.
func (in *Installation) Stop(ctx context.Context, c *container.Container, opts StopOptions) error {
	sig, err := ParseSignal(firstOf(opts.Signal, c.StopSignal, "SIGTERM"))
	if err != nil {
		return err
	}
	state := c.State()
	if state.Active() {
		if err := c.AskStop(); err != nil {
			return err
		}
	}
	record, err := c.ReadMonitor()
	if err != nil || !record.Init.Alive() {
		return in.settle(ctx, c)
	}
	if state.Status == container.Paused {
		if err := in.Unpause(ctx, c); err != nil {
			return err
		}
	}
	end, err := record.Init.Open()
	if err != nil {
		return in.settle(ctx, c)
	}
	defer end.Close()
	if err := in.send(c, sig); err != nil {
		return err
	}
	grace, cancel := graceContext(ctx, c, opts)
	defer cancel()
	if err := pollReadable(grace, int(end.Fd())); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := in.send(c, unix.SIGKILL); err != nil {
			return err
		}
		if err := pollReadable(ctx, int(end.Fd())); err != nil {
			return err
		}
	}
	if err := in.settle(ctx, c); err != nil {
		return err
	}
	in.Notify(c, "stop")
	return nil
}

// Restart stops the container and starts it again; one that does not run is started. With AutoRemove it is not removed in
// between, only if it cannot be started again.
func (in *Installation) Restart(ctx context.Context, c *container.Container, opts StopOptions) (warnings []string, err error) {
	if c.AutoRemove && c.State().Active() {
		if err := c.AskRestart(); err != nil {
			return nil, err
		}
	}
	if err := in.Stop(ctx, c, opts); err != nil {
		return nil, err
	}
	if c.AutoRemove {
		if err := rootfs.Settle(c.WorkDirPath()); err != nil {
			return nil, err
		}
	}
	if _, warnings, err = in.Start(ctx, c, nil); err == nil {
		in.Notify(c, "restart")
	}
	return warnings, err
}

// send sends a signal; a container that has ended is good.
func (in *Installation) send(c *container.Container, sig unix.Signal) error {
	err := in.signal(c, sig)
	if errors.Is(err, container.ErrNotRunning) {
		return nil
	}
	return err
}

// signal sends a signal to a container that was seen to run. The journal has it before the end that it may bring.
func (in *Installation) signal(c *container.Container, sig unix.Signal) error {
	in.Notify(c, "kill", "signal", strconv.Itoa(int(sig)))
	return engine.Signal(in.Containers.RunRoot(), c.ID, sig)
}

// Pause stops all processes of a container where they are.
func (in *Installation) Pause(_ context.Context, c *container.Container) error {
	state, err := c.RequireRunning()
	if err != nil {
		return err
	}
	if state.Status == container.Paused {
		return fmt.Errorf("container %s is already paused", c.ID)
	}
	if err := engine.Pause(in.Containers.RunRoot(), c.ID); err != nil {
		return err
	}
	in.Notify(c, "pause")
	return nil
}

// Unpause lets them go on.
func (in *Installation) Unpause(_ context.Context, c *container.Container) error {
	if state := c.State(); state.Status != container.Paused {
		return fmt.Errorf("container %s is not paused", c.ID)
	}
	if err := engine.Resume(in.Containers.RunRoot(), c.ID); err != nil {
		return err
	}
	in.Notify(c, "unpause")
	return nil
}

// graceContext ends when the container has had its time.
func graceContext(ctx context.Context, c *container.Container, opts StopOptions) (context.Context, context.CancelFunc) {
	timeout := defaultStopTimeout
	if c.StopTimeout != nil {
		timeout = time.Duration(*c.StopTimeout) * time.Second
	}
	if opts.Timeout != nil {
		timeout = *opts.Timeout
	}
	if timeout < 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, timeout)
}

// settle returns when the container, whose process has ended, is taken down: by its monitor, or here if that was killed. A
// monitor that goes on only to keep the sandbox for others counts as done.
func (in *Installation) settle(ctx context.Context, c *container.Container) error {
	ctx, cancel := settling(ctx)
	defer cancel()
	p := patient(c)
	for {
		lock, err := c.TryLock()
		switch {
		case err == nil:
			defer lock.Close()
			return in.recoverFully(c)
		case errors.Is(err, container.ErrNotFound):
			return nil // --rm
		case !errors.Is(err, container.ErrBusy):
			return err
		}
		if record, err := c.ReadMonitor(); err == nil && record.Lingering {
			return nil
		}
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
}

func firstOf(s ...string) string {
	for _, x := range s {
		if x != "" {
			return x
		}
	}
	return ""
}

// ParseSignal reads a signal's number or its name, with or without SIG, in any case, as `docker kill` does.
func ParseSignal(s string) (unix.Signal, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 1 || n > 64 {
			return 0, fmt.Errorf("invalid signal: %s", s)
		}
		return unix.Signal(n), nil
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if sig := unix.SignalNum(name); sig != 0 {
		return sig, nil
	}
	if sig, ok := realtimeSignal(name); ok {
		return sig, nil
	}
	return 0, fmt.Errorf("invalid signal: %s", s)
}

// realtimeSignal reads RTMIN, RTMIN+n, RTMAX and RTMAX-n (signal(7)), with the C library's limits 34 and 64.
func realtimeSignal(name string) (unix.Signal, bool) {
	for _, base := range []struct {
		name string
		num  int
	}{{"SIGRTMIN", 34}, {"SIGRTMAX", 64}} {
		rest, ok := strings.CutPrefix(name, base.name)
		if !ok {
			continue
		}
		n := 0
		if rest != "" {
			var err error
			if n, err = strconv.Atoi(rest); err != nil {
				return 0, false
			}
		}
		if n += base.num; n >= 34 && n <= 64 {
			return unix.Signal(n), true
		}
	}
	return 0, false
}
