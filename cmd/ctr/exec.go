package main

import (
	"context"
	"os"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/options"
	"ctr/runtime/attach"
	"ctr/runtime/lifecycle"
)

func (a *app) execCommand() *cli.Command {
	return &cli.Command{
		Name:        "exec",
		Usage:       "Execute a command in a running container",
		ArgsUsage:   "CONTAINER COMMAND [ARG...]",
		Description: "ctr exec web ip addr\nctr exec -it web sh",
		Flags: []cli.Flag{
			boolFlag("detach", "Detached mode: run command in the background", "d"),
			boolFlag("interactive", "Keep STDIN open even if not attached", "i"),
			boolFlag("tty", "Allocate a pseudo-TTY", "t"),
			listFlag("env", "Set environment variables", "e"),
			listFlag("env-file", "Read in a file of environment variables"),
			textFlag("user", "Username or UID (format: <name|uid>[:<group|gid>])", "u"),
			textFlag("workdir", "Working directory inside the container", "w"),
			boolFlag("privileged", "Give extended privileges to the command"),
			textFlag("detach-keys", "Override the key sequence for detaching a container"),
		},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 2, -1); err != nil {
				return err
			}
			o, err := parseExec(c)
			if err != nil {
				return err
			}
			if o.wanted.stdin && o.wanted.tty && !a.ui.stdinIsTerminal() {
				return errNoTerminal
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runExec(c.Context, in, o, a.ui)
		},
	}
}

type execOptions struct {
	container string
	spec      lifecycle.ExecSpec
	detach    bool
	wanted    wanted
	keys      []byte
}

func parseExec(c *cli.Context) (o execOptions, err error) {
	o.container, o.detach = c.Args().First(), c.Bool("detach")
	o.spec = lifecycle.ExecSpec{
		Args: c.Args().Tail(), WorkDir: c.String("workdir"), User: c.String("user"), TTY: c.Bool("tty"), Privileged: c.Bool("privileged"),
	}
	if o.spec.Env, err = options.Env(c.StringSlice("env-file"), c.StringSlice("env"), os.LookupEnv); err != nil {
		return o, err
	}
	if err := options.User(o.spec.User); err != nil {
		return o, err
	}
	if o.keys, err = options.DetachKeys(c.String("detach-keys")); err != nil {
		return o, err
	}
	if !o.detach {
		o.wanted = wanted{stdin: c.Bool("interactive"), stdout: true, stderr: true, tty: o.spec.TTY}
	}
	return o, nil
}

// runExec runs a program in a container. An interrupt leaves the program to itself.
func runExec(ctx context.Context, in *lifecycle.Installation, o execOptions, ui *ui) error {
	c, err := in.Find(o.container)
	if err != nil {
		return err
	}
	if o.detach {
		_, err := in.Exec(ctx, c, o.spec, nil)
		return err
	}
	t, err := openTerminal(ui, o.wanted, o.keys)
	if err != nil {
		return err
	}
	defer t.close()
	type end struct {
		code int
		err  error
	}
	done := make(chan end, 1)
	go func(streams attach.Streams) {
		code, err := in.Exec(ctx, c, o.spec, &streams)
		done <- end{code, err}
	}(t.streams)
	select {
	case e := <-done:
		t.close()
		if e.err != nil {
			return e.err
		}
		return ended(e.code)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
