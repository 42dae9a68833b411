package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"ctr/images"
	"ctr/runtime/events"
	"ctr/runtime/lifecycle"
)

func (a *app) pullCommand() *cli.Command {
	return &cli.Command{
		Name: "pull", Usage: "Download an image from a registry", ArgsUsage: "NAME[:TAG|@DIGEST]", Description: "ctr pull busybox",
		Flags: []cli.Flag{
			textFlag("platform", "Set platform if the image has several"),
			boolFlag("quiet", "Suppress verbose output", "q"),
			trustFlag(),
			boolFlag("all-tags", "Download all tagged images in the repository", "a"),
		},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 1, 1); err != nil {
				return err
			}
			if c.Bool("all-tags") {
				return errors.New("--all-tags is not supported: pull the tags by name")
			}
			if err := checkTrust(c); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runPull(c.Context, in, c.Args().First(), c.String("platform"), c.Bool("quiet"), a.ui)
		},
	}
}

// runPull fetches an image, and prints what it is called in full.
func runPull(ctx context.Context, in *lifecycle.Installation, name, platform string, quiet bool, ui *ui) error {
	ref, err := images.ParseReference(name)
	if err != nil {
		return err
	}
	ref = ref.WithDefaultTag()
	o := images.PullOptions{Platform: platform}
	if !quiet {
		if ref.Familiar() != name && ref.Tag == "latest" {
			ui.println("Using default tag: latest")
		}
		p := newProgress(ui.out.file)
		defer p.close()
		o.Progress = p.event
	}
	if _, err := in.Images.Pull(ctx, name, o); err != nil {
		return err
	}
	in.NotifyOf(events.Image, "pull", name, "name", name)
	ui.println(ref.String())
	return nil
}
