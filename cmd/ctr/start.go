package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/options"
	"ctr/runtime/container"
	"ctr/runtime/lifecycle"
)

func (a *app) startCommand() *cli.Command {
	return &cli.Command{
		Name:        "start",
		Usage:       "Start one or more stopped containers",
		ArgsUsage:   "CONTAINER [CONTAINER...]",
		Description: "ctr start web\nctr start -ai shell",
		Flags: []cli.Flag{
			boolFlag("attach", "Attach STDOUT/STDERR and forward signals", "a"),
			boolFlag("interactive", "Attach container's STDIN", "i"),
			&cli.BoolFlag{Name: "sig-proxy", Value: true, Usage: "Proxy received signals to the process"},
			textFlag("detach-keys", "Override the key sequence for detaching a container"),
		},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 1, -1); err != nil {
				return err
			}
			o := startOptions{attach: c.Bool("attach"), interactive: c.Bool("interactive"), sigProxy: c.Bool("sig-proxy")}
			var err error
			if o.keys, err = options.DetachKeys(c.String("detach-keys")); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			if o.attach || o.interactive {
				if c.NArg() > 1 {
					return errors.New("you cannot start and attach multiple containers at once")
				}
				return runStartAttached(c.Context, in, c.Args().First(), o, a.ui)
			}
			return runStart(c.Context, in, c.Args().Slice(), a.ui)
		},
	}
}

type startOptions struct {
	attach, interactive, sigProxy bool
	keys                          []byte
}

// runStart starts containers one after the other.
func runStart(ctx context.Context, in *lifecycle.Installation, names []string, ui *ui) error {
	var failed []string
	err := each(ui, names, func(name string) error {
		c, err := in.Find(name)
		if err != nil {
			failed = append(failed, name)
			return err
		}
		_, warnings, err := in.Start(ctx, c, nil)
		ui.warn(warnings...)
		if err != nil {
			failed = append(failed, name)
		}
		return err
	})
	if len(failed) > 0 {
		return errors.Join(err, fmt.Errorf("failed to start containers: %s", strings.Join(failed, ", ")))
	}
	return nil
}

// runStartAttached starts one container and relays it. One that runs already is attached to.
func runStartAttached(ctx context.Context, in *lifecycle.Installation, name string, o startOptions, ui *ui) error {
	c, err := in.Find(name)
	if err != nil {
		return err
	}
	w := wanted{stdin: o.interactive && c.OpenStdin, stdout: true, stderr: true, tty: c.TTY}
	if w.stdin && w.tty && !ui.stdinIsTerminal() {
		return errNoTerminal
	}
	t, err := openTerminal(ui, w, o.keys)
	if err != nil {
		return err
	}
	defer t.close()
	session, warnings, err := in.Start(ctx, c, &t.streams)
	if err == nil && session == nil {
		session, err = in.Attach(ctx, c, t.streams)
	}
	if err != nil {
		return err
	}
	t.warn(warnings)
	return follow(ctx, in, c, session, t, o.sigProxy && !c.TTY)
}

func (a *app) attachCommand() *cli.Command {
	return &cli.Command{
		Name:        "attach",
		Usage:       "Attach local standard input, output, and error streams to a running container",
		ArgsUsage:   "CONTAINER",
		Description: "ctr attach shell\nctr attach --no-stdin web",
		Flags: []cli.Flag{
			boolFlag("no-stdin", "Do not attach STDIN"),
			&cli.BoolFlag{Name: "sig-proxy", Value: true, Usage: "Proxy all received signals to the process"},
			textFlag("detach-keys", "Override the key sequence for detaching a container"),
		},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 1, 1); err != nil {
				return err
			}
			o := startOptions{interactive: !c.Bool("no-stdin"), sigProxy: c.Bool("sig-proxy")}
			var err error
			if o.keys, err = options.DetachKeys(c.String("detach-keys")); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runAttach(c.Context, in, c.Args().First(), o, a.ui)
		},
	}
}

// runAttach relays a container that runs.
func runAttach(ctx context.Context, in *lifecycle.Installation, name string, o startOptions, ui *ui) error {
	c, err := in.Find(name)
	if err != nil {
		return err
	}
	w := wanted{stdin: o.interactive && c.OpenStdin, stdout: true, stderr: true, tty: c.TTY}
	state := c.State()
	if w.stdin && w.tty && state.Running() && !ui.stdinIsTerminal() {
		return errNoTerminal
	}
	if state.Status == container.Restarting {
		return errors.New("you cannot attach to a restarting container, wait until it is running")
	}
	t, err := openTerminal(ui, w, o.keys)
	if err != nil {
		return err
	}
	defer t.close()
	session, err := in.Attach(ctx, c, t.streams)
	if err != nil {
		return err
	}
	return follow(ctx, in, c, session, t, o.sigProxy && !c.TTY)
}
