package main

import (
	"bufio"
	"context"
	"errors"
	"io"

	"github.com/urfave/cli/v2"

	"ctr/runtime/lifecycle"
)

func (a *app) commitCommand() *cli.Command {
	return &cli.Command{
		Name: "commit", Usage: "Create a new image from a container's changes", ArgsUsage: "CONTAINER [REPOSITORY[:TAG]]",
		Description: "ctr commit web web:patched\nctr commit -m 'add vim' --change 'CMD [\"vim\"]' shell editor",
		Flags: []cli.Flag{
			textFlag("author", `Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")`, "a"),
			listFlag("change", "Apply Dockerfile instruction to the created image", "c"),
			textFlag("message", "Commit message", "m"),
			&cli.BoolFlag{Name: "pause", Aliases: []string{"p"}, Value: true, Usage: "Pause container during commit"},
			boolFlag("no-pause", "Disable pausing container during commit"),
		},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 1, 2); err != nil {
				return err
			}
			o := lifecycle.CommitOptions{
				Author: c.String("author"), Message: c.String("message"), Changes: c.StringSlice("change"),
				NoPause: c.Bool("no-pause") || !c.Bool("pause"),
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runCommit(c.Context, in, c.Args().Get(0), c.Args().Get(1), o, a.ui)
		},
	}
}

// runCommit makes an image of a container and prints its ID.
func runCommit(ctx context.Context, in *lifecycle.Installation, name, ref string, o lifecycle.CommitOptions, ui *ui) error {
	c, err := in.Find(name)
	if err != nil {
		return err
	}
	image, err := in.Commit(ctx, c, ref, o)
	if err != nil {
		return err
	}
	ui.println(image.ID)
	return nil
}

func (a *app) diffCommand() *cli.Command {
	return &cli.Command{
		Name: "diff", Usage: "Inspect changes to files or directories on a container's filesystem", ArgsUsage: "CONTAINER",
		Description: "ctr diff web",
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 1, 1); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runDiff(c.Context, in, c.Args().First(), a.ui)
		},
	}
}

// runDiff prints what a container has added (A), changed (C) and deleted (D).
func runDiff(ctx context.Context, in *lifecycle.Installation, name string, ui *ui) error {
	c, err := in.Find(name)
	if err != nil {
		return err
	}
	changes, err := in.Diff(ctx, c)
	for _, change := range changes {
		ui.printf("%c %s\n", change.Kind, change.Path)
	}
	return err
}

func (a *app) exportCommand() *cli.Command {
	return a.archiveCommand(&cli.Command{
		Name: "export", Usage: "Export a container's filesystem as a tar archive", ArgsUsage: "CONTAINER",
		Description: "ctr export web > web.tar\nctr export -o web.tar web",
	}, 1, func(ctx context.Context, in *lifecycle.Installation, names []string) (func(io.Writer) error, error) {
		c, err := in.Find(names[0])
		if err != nil {
			return nil, err
		}
		return func(w io.Writer) error {
			b := bufio.NewWriterSize(w, 256<<10)
			return errors.Join(in.Export(ctx, c, b), b.Flush())
		}, nil
	})
}
