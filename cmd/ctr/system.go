package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"ctr/runtime/lifecycle"
)

func (a *app) systemResetCommand() *cli.Command {
	return &cli.Command{
		Name: "reset", Usage: "Remove everything that this installation has made", Description: "ctr system reset --force",
		Flags: []cli.Flag{boolFlag("force", "Do not prompt for confirmation", "f")},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 0, 0); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runSystemReset(c.Context, in, c.Bool("force"), a.ui)
		},
	}
}

// runSystemReset removes containers, networks, images and all traces in the kernel.
func runSystemReset(ctx context.Context, in *lifecycle.Installation, force bool, ui *ui) error {
	if !force {
		ui.notice("WARNING! This will end and remove all containers, and remove all networks, volumes and images below")
		ui.notice("  " + in.Roots.Data + "\n  " + in.Roots.Run)
		if !ui.confirm("Are you sure you want to continue?") {
			return nil
		}
	}
	return in.Reset(context.WithoutCancel(ctx))
}
