package main

import (
	"context"
	"errors"
	"strings"

	"github.com/urfave/cli/v2"

	"ctr/runtime/attach"
	"ctr/runtime/container"
	"ctr/runtime/lifecycle"
)

func (a *app) rmCommand() *cli.Command {
	return &cli.Command{
		Name: "rm", Usage: "Remove one or more containers", ArgsUsage: "CONTAINER [CONTAINER...]",
		Description: "ctr rm web\nctr rm -f web db",
		Flags: []cli.Flag{
			boolFlag("force", "Force the removal of a running container (uses SIGKILL)", "f"),
			boolFlag("volumes", "Remove anonymous volumes associated with the container", "v"),
		},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 1, -1); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			o := lifecycle.RemoveOptions{Force: c.Bool("force"), Volumes: c.Bool("volumes")}
			return runRm(c.Context, in, c.Args().Slice(), o, a.ui)
		},
	}
}

// runRm removes containers. With force, one that is not there is as good as removed, but said.
func runRm(ctx context.Context, in *lifecycle.Installation, names []string, o lifecycle.RemoveOptions, ui *ui) error {
	defer sweep(in, ui)
	if !o.Force {
		return each(ui, names, func(name string) error {
			c, err := in.Containers.Find(name)
			if err != nil {
				return err
			}
			return in.Remove(ctx, c, o)
		})
	}
	var present []string
	for _, name := range names {
		_, err := findToRemove(in, name)
		if errors.Is(err, container.ErrNotFound) {
			ui.notice("ctr: " + err.Error())
			continue
		}
		present = append(present, name)
	}
	find := func(name string) (*container.Container, error) { return findToRemove(in, name) }
	return sideBySide(find, present, ui, func(c *container.Container) error { return in.Remove(ctx, c, o) })
}

// findToRemove finds also a container whose record cannot be read.
func findToRemove(in *lifecycle.Installation, name string) (*container.Container, error) {
	c, err := in.Containers.Find(name)
	if err == nil {
		return c, nil
	}
	return in.Containers.Salvage(name)
}

// sweep takes down what killed commands and monitors have left of any container. What it cannot do is not what the user asked
// for.
func sweep(in *lifecycle.Installation, ui *ui) {
	if err := in.TrySweep(); err != nil {
		ui.warn("Not all that was left by killed commands could be removed: " + err.Error())
	}
}

func (a *app) renameCommand() *cli.Command {
	return &cli.Command{
		Name: "rename", Usage: "Rename a container", ArgsUsage: "CONTAINER NEW_NAME", Description: "ctr rename web www",
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 2, 2); err != nil {
				return err
			}
			name, other := c.Args().First(), c.Args().Get(1)
			if name == "" || other == "" {
				return errors.New("neither old nor new names may be empty")
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			target, err := in.Find(name)
			if err != nil {
				return err
			}
			return in.Rename(c.Context, target, other)
		},
	}
}

func (a *app) waitCommand() *cli.Command {
	return &cli.Command{
		Name: "wait", Usage: "Block until one or more containers stop, then print their exit codes", ArgsUsage: "CONTAINER [CONTAINER...]",
		Description: "ctr wait job",
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 1, -1); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runWait(c.Context, in, c.Args().Slice(), a.ui)
		},
	}
}

// runWait waits for containers side by side, since one with --rm is gone once it has ended; the order of the codes is that of the
// names. What cannot be waited for is said at once, not when the others have ended.
func runWait(ctx context.Context, in *lifecycle.Installation, names []string, ui *ui) error {
	type end struct {
		of     *container.Container
		result attach.Result
		err    error
	}
	var ends []chan end
	var told error
	for _, name := range names {
		c, err := in.Find(name)
		if err != nil {
			ui.report("wait", err)
			told = ended(codeFailed)
			continue
		}
		one := make(chan end, 1)
		ends = append(ends, one)
		go func() {
			result, err := in.Wait(ctx, c)
			one <- end{c, result, err}
		}()
	}
	var errs []error
	for _, one := range ends {
		e := <-one
		if e.err != nil {
			errs = append(errs, e.err)
			continue
		}
		ui.unknown(e.of, e.result)
		ui.printf("%d\n", e.result.ExitCode)
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return told
}

// removeCommand is `network rm` or `volume rm`. With --force, one that is not there is as good as removed.
func (a *app) removeCommand(kind string, missing error, remove func(context.Context, *lifecycle.Installation, string) error) *cli.Command {
	name := strings.ToUpper(kind)
	return &cli.Command{
		Name: "rm", Aliases: []string{"remove"}, Usage: "Remove one or more " + kind + "s", ArgsUsage: name + " [" + name + "...]",
		Description: "ctr " + kind + " rm NAME",
		Flags:       []cli.Flag{boolFlag("force", "Do not error if the "+kind+" does not exist", "f")},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 1, -1); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			defer sweep(in, a.ui)
			return each(a.ui, c.Args().Slice(), func(name string) error {
				err := remove(c.Context, in, name)
				if c.Bool("force") && errors.Is(err, missing) {
					return nil
				}
				return err
			})
		},
	}
}
