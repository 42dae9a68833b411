package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/options"
	"ctr/runtime/container"
	"ctr/runtime/lifecycle"
)

func (a *app) createCommand() *cli.Command {
	return &cli.Command{
		Name:        "create",
		Usage:       "Create a new container",
		ArgsUsage:   "IMAGE [COMMAND] [ARG...]",
		Description: "ctr create --name web -p 8080:80 nginx\nctr start web",
		Flags:       createFlags(),
		Action: func(c *cli.Context) error {
			o, err := a.parseCreate(c)
			if err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			created, err := runCreate(c.Context, in, o, a.ui)
			if err != nil {
				return err
			}
			if err := in.MakeVolumes(c.Context, created); err != nil {
				return errors.Join(err, in.Remove(c.Context, created, lifecycle.RemoveOptions{Force: true, Volumes: true}))
			}
			a.ui.println(created.ID)
			return nil
		},
	}
}

// parseCreate checks the number of arguments and reads the flags.
func (a *app) parseCreate(c *cli.Context) (createOptions, error) {
	least := 1
	if c.IsSet("rootfs") {
		least = 0
	}
	if err := a.needArgs(c, least, -1); err != nil {
		return createOptions{}, err
	}
	return parseCreate(c, os.LookupEnv)
}

// nameTries is how often a name is made up before giving up.
const nameTries = 10

// runCreate creates a container, under a made-up name if the user gave none, and writes its ID file.
func runCreate(ctx context.Context, in *lifecycle.Installation, o createOptions, ui *ui) (c *container.Container, err error) {
	if o.cidFile != "" {
		if _, err := os.Lstat(o.cidFile); !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("container ID file found, make sure the other container isn't running or delete %s", o.cidFile)
		}
	}
	opts := lifecycle.CreateOptions{Pull: o.pull, Platform: o.platform, Notice: ui.notice, VolumesFrom: o.volumesFrom}
	if !o.quiet {
		p := newProgress(ui.err)
		defer p.close()
		opts.Progress = p.event
	}
	madeUp := o.spec.Name == ""
	for try := range nameTries {
		if madeUp {
			o.spec.Name = options.RandomName(try)
		}
		c, err = in.Create(ctx, o.spec, opts)
		if !madeUp || !errors.Is(err, container.ErrNameInUse) {
			break
		}
	}
	if err != nil || o.cidFile == "" {
		return c, err
	}
	if err := writeNew(o.cidFile, c.ID); err != nil {
		return nil, errors.Join(err, in.Remove(ctx, c, lifecycle.RemoveOptions{Force: true, Volumes: true}))
	}
	return c, nil
}

// writeNew writes a file that is not there yet.
func writeNew(path, text string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("write container ID file: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(path)
			err = fmt.Errorf("write container ID file: %w", err)
		}
	}()
	_, err = f.WriteString(text)
	return err
}
