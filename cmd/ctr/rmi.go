package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"ctr/images"
	"ctr/runtime/events"
	"ctr/runtime/lifecycle"
)

func (a *app) rmiCommand() *cli.Command {
	return &cli.Command{
		Name: "rmi", Usage: "Remove one or more images", ArgsUsage: "IMAGE [IMAGE...]", Description: "ctr rmi busybox",
		Flags: []cli.Flag{boolFlag("force", "Force removal of the image", "f"), boolFlag("no-prune", "Do not delete untagged parents (there are none)")},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 1, -1); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runRmi(c.Context, in, c.Args().Slice(), c.Bool("force"), a.ui)
		},
	}
}

// runRmi takes names away, and with the last one the image and its unpacked layers.
func runRmi(ctx context.Context, in *lifecycle.Installation, names []string, force bool, ui *ui) error {
	var errs []error
	for _, name := range names {
		removed, err := in.Images.Remove(ctx, name, force, imageUsers(in))
		for _, r := range removed {
			if r.Untagged != "" {
				ui.println("Untagged: " + r.Untagged)
				in.NotifyOf(events.Image, "untag", name, "name", r.Untagged)
			}
			if r.Deleted != "" {
				ui.println("Deleted: " + r.Deleted)
				in.NotifyOf(events.Image, "delete", r.Deleted, "name", r.Deleted)
				errs = append(errs, removeLayers(in, r.Chains))
			}
		}
		if force && errors.Is(err, images.ErrNotFound) {
			ui.notice("ctr: " + err.Error())
			continue
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// removeLayers removes unpacked layers that no container stands on.
func removeLayers(in *lifecycle.Installation, chains []string) error {
	all, _ := in.Containers.List()
	used := map[string]bool{}
	for _, c := range all {
		for _, id := range c.Rootfs.Layers {
			used[id] = true
		}
	}
	var errs []error
	for _, id := range chains {
		if !used[id] && in.Layers.Has(id) {
			errs = append(errs, in.Layers.Remove(id))
		}
	}
	return errors.Join(errs...)
}
