package main

import (
	"context"
	"errors"
	"os"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/options"
	"ctr/internal/span"
	"ctr/runtime/attach"
	"ctr/runtime/container"
	"ctr/runtime/lifecycle"
)

func (a *app) runCommand() *cli.Command {
	return &cli.Command{
		Name:        "run",
		Usage:       "Create and run a new container from an image",
		ArgsUsage:   "IMAGE [COMMAND] [ARG...]",
		Description: "ctr network create mynet\nctr run -d --name web --network mynet -p 8080:80 nginx\nctr run --rm -it --network mynet busybox wget -O - http://web",
		Flags: append([]cli.Flag{
			boolFlag("detach", "Run container in background and print container ID", "d"),
			&cli.BoolFlag{Name: "sig-proxy", Value: true, Usage: "Proxy received signals to the process"},
			textFlag("detach-keys", "Override the key sequence for detaching a container"),
		}, createFlags()...),
		Action: func(c *cli.Context) error {
			o, err := a.parseRun(c)
			if err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runRun(c.Context, in, o, a.ui)
		},
	}
}

// runOptions are what the flags of `run` say.
type runOptions struct {
	createOptions
	detach   bool
	sigProxy bool
	keys     []byte
}

func (a *app) parseRun(c *cli.Context) (o runOptions, err error) {
	if o.createOptions, err = a.parseCreate(c); err != nil {
		return o, err
	}
	o.detach, o.sigProxy = c.Bool("detach"), c.Bool("sig-proxy")
	if o.detach && len(c.StringSlice("attach")) > 0 {
		return o, &usageError{"conflicting options: cannot specify both --attach and --detach", codeFailed}
	}
	if o.keys, err = options.DetachKeys(c.String("detach-keys")); err != nil {
		return o, err
	}
	s := &o.spec
	if o.detach {
		s.Attach, s.StdinOnce = container.Attach{}, false
		return o, nil
	}
	if s.TTY && s.Attach.Stdin && !a.ui.stdinIsTerminal() {
		return o, errNoTerminal
	}
	return o, nil
}

var errNoTerminal = &usageError{"cannot attach stdin to a TTY-enabled container because stdin is not a terminal", codeFailed}

// runRun creates a container and starts it. When it cannot be started, nothing of it is left.
func runRun(ctx context.Context, in *lifecycle.Installation, o runOptions, ui *ui) error {
	if o.spec.Network.Mode == container.ModeHost && (len(o.spec.Network.Ports) > 0 || o.spec.Network.PublishAll) {
		ui.warn("Published ports are discarded when using host network mode")
		o.spec.Network.Ports, o.spec.Network.PublishAll = nil, false
	}
	creating := span.Begin("create container")
	c, err := runCreate(ctx, in, o.createOptions, ui)
	creating.End()
	if err != nil {
		return err
	}
	if o.detach {
		_, warnings, err := in.Start(ctx, c, nil)
		if err != nil {
			return discard(ctx, in, c, o.cidFile, err)
		}
		ui.warn(warnings...)
		ui.println(c.ID)
		return nil
	}
	t, err := openTerminal(ui, streamsOf(c, o.spec.Attach), o.keys)
	if err != nil {
		return discard(ctx, in, c, o.cidFile, err)
	}
	defer t.close()
	session, warnings, err := in.Start(ctx, c, &t.streams)
	if err != nil {
		t.close()
		return discard(ctx, in, c, o.cidFile, err)
	}
	t.warn(warnings)
	return follow(ctx, in, c, session, t, o.sigProxy)
}

// discard removes a container that could not be started.
func discard(ctx context.Context, in *lifecycle.Installation, c *container.Container, cidFile string, err error) error {
	if cidFile != "" {
		os.Remove(cidFile)
	}
	gone := in.Remove(context.WithoutCancel(ctx), c, lifecycle.RemoveOptions{Force: true, Volumes: true})
	if gone != nil && !errors.Is(gone, container.ErrNotFound) {
		return errors.Join(err, gone)
	}
	return err
}

// wanted says which streams a command relays.
type wanted struct {
	stdin, stdout, stderr, tty bool
}

func streamsOf(c *container.Container, at container.Attach) wanted {
	return wanted{stdin: at.Stdin && c.OpenStdin, stdout: at.Stdout, stderr: at.Stderr, tty: c.TTY}
}

// follow relays a container that was started or attached to, until it ends or the user detaches. Without proxy an interrupt
// ends the relaying only.
func follow(ctx context.Context, in *lifecycle.Installation, c *container.Container, session *lifecycle.Session, t *terminal, proxy bool) error {
	if session == nil { // it was running already
		return nil
	}
	if proxy {
		defer proxySignals(in, c)()
	} else {
		defer context.AfterFunc(ctx, func() { session.Close() })()
	}
	relaying := span.Begin("relay until the end")
	result, err := session.Wait()
	relaying.End()
	t.close()
	if !proxy && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil && result.Detached {
		in.Notify(c, "detach")
	}
	if err == nil {
		t.ui.unknown(c, result)
	}
	return outcome(result, err)
}

// outcome turns the end of a session into the command's.
func outcome(r attach.Result, err error) error {
	if err != nil || r.Detached {
		return err
	}
	return ended(r.ExitCode)
}
