package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"ctr/runtime/container"
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

func (a *app) systemRestoreCommand() *cli.Command {
	return &cli.Command{
		Name: "restore", Usage: "Start what should run after a reboot, by restart policy", Description: "ctr system restore\nsystemctl enable ctr-restore",
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 0, 0); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runSystemRestore(c.Context, in, a.ui)
		},
	}
}

// runSystemRestore prints the names of the containers that it starts.
func runSystemRestore(ctx context.Context, in *lifecycle.Installation, ui *ui) error {
	return in.Restore(ctx, func(c *container.Container, warnings []string) {
		ui.println(c.Name)
		ui.warn(warnings...)
	})
}
