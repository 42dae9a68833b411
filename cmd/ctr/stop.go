package main

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ctr/runtime/container"
	"ctr/runtime/lifecycle"
)

// stopFlags are those of stop and restart.
func stopFlags() []cli.Flag {
	return []cli.Flag{
		textFlag("signal", "Signal to send to the container", "s"),
		textFlag("timeout", "Seconds to wait before killing the container (-1: for ever)", "time", "t"),
	}
}

func parseStop(c *cli.Context) (o lifecycle.StopOptions, err error) {
	if o.Signal = c.String("signal"); o.Signal != "" {
		if _, err := lifecycle.ParseSignal(o.Signal); err != nil {
			return o, err
		}
	}
	if c.IsSet("timeout") {
		n, err := intFlag(c, "timeout")
		if err != nil {
			return o, err
		}
		timeout := time.Duration(n) * time.Second
		o.Timeout = &timeout
	}
	return o, nil
}

func (a *app) stopCommand() *cli.Command {
	return &cli.Command{
		Name: "stop", Usage: "Stop one or more running containers", ArgsUsage: "CONTAINER [CONTAINER...]",
		Description: "ctr stop web db\nctr stop -t 30 db", Flags: stopFlags(),
		Action: a.stopping(func(ctx context.Context, in *lifecycle.Installation, c *container.Container, o lifecycle.StopOptions) error {
			return in.Stop(ctx, c, o)
		}),
	}
}

func (a *app) restartCommand() *cli.Command {
	return &cli.Command{
		Name: "restart", Usage: "Restart one or more containers", ArgsUsage: "CONTAINER [CONTAINER...]",
		Description: "ctr restart web", Flags: stopFlags(),
		Action: a.stopping(func(ctx context.Context, in *lifecycle.Installation, c *container.Container, o lifecycle.StopOptions) error {
			warnings, err := in.Restart(ctx, c, o)
			a.ui.warn(warnings...)
			return err
		}),
	}
}

// stopping is an action on all named containers side by side: stopping one takes up to its time-out.
func (a *app) stopping(f func(context.Context, *lifecycle.Installation, *container.Container, lifecycle.StopOptions) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		if err := a.needArgs(c, 1, -1); err != nil {
			return err
		}
		o, err := parseStop(c)
		if err != nil {
			return err
		}
		in, err := a.open()
		if err != nil {
			return err
		}
		return sideBySide(in.Find, c.Args().Slice(), a.ui, func(target *container.Container) error { return f(c.Context, in, target, o) })
	}
}

// sideBySide does f for all named containers at once, and prints the names of those where it went well, in their order.
func sideBySide(find func(string) (*container.Container, error), names []string, ui *ui, f func(*container.Container) error) error {
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			c, err := find(name)
			if err == nil {
				err = f(c)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	for i, name := range names {
		if errs[i] == nil {
			ui.println(name)
		}
	}
	return errors.Join(errs...)
}

func (a *app) killCommand() *cli.Command {
	return &cli.Command{
		Name: "kill", Usage: "Kill one or more running containers", ArgsUsage: "CONTAINER [CONTAINER...]",
		Description: "ctr kill web\nctr kill -s HUP web",
		Flags:       []cli.Flag{&cli.StringFlag{Name: "signal", Aliases: []string{"s"}, Value: "KILL", Usage: "Signal to send to the container"}},
		Action: func(c *cli.Context) error {
			sig, err := lifecycle.ParseSignal(cmp.Or(c.String("signal"), "KILL"))
			if err != nil {
				return err
			}
			return a.onEach(func(ctx context.Context, in *lifecycle.Installation, target *container.Container) error {
				return runKill(ctx, in, target, sig)
			})(c)
		},
	}
}

// runKill sends a signal; after SIGKILL it returns when the container has ended, so that the next command finds it so.
func runKill(ctx context.Context, in *lifecycle.Installation, c *container.Container, sig unix.Signal) error {
	if sig == unix.SIGKILL {
		// A restart policy is not to undo it.
		if err := c.AskStop(); err != nil {
			return err
		}
	}
	if err := in.Signal(ctx, c, sig); err != nil || sig != unix.SIGKILL {
		return err
	}
	_, err := in.Wait(ctx, c)
	return err
}

func (a *app) pauseCommand() *cli.Command {
	return &cli.Command{
		Name: "pause", Usage: "Pause all processes within one or more containers", ArgsUsage: "CONTAINER [CONTAINER...]",
		Description: "ctr pause web",
		Action: a.onEach(func(ctx context.Context, in *lifecycle.Installation, c *container.Container) error {
			return in.Pause(ctx, c)
		}),
	}
}

func (a *app) unpauseCommand() *cli.Command {
	return &cli.Command{
		Name: "unpause", Usage: "Unpause all processes within one or more containers", ArgsUsage: "CONTAINER [CONTAINER...]",
		Description: "ctr unpause web",
		Action: a.onEach(func(ctx context.Context, in *lifecycle.Installation, c *container.Container) error {
			return in.Unpause(ctx, c)
		}),
	}
}

// onEach is an action on each named container.
func (a *app) onEach(f func(context.Context, *lifecycle.Installation, *container.Container) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		if err := a.needArgs(c, 1, -1); err != nil {
			return err
		}
		in, err := a.open()
		if err != nil {
			return err
		}
		return each(a.ui, c.Args().Slice(), func(name string) error {
			target, err := in.Find(name)
			if err != nil {
				return err
			}
			return f(c.Context, in, target)
		})
	}
}
