package main

import (
	"context"
	"slices"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/options"
	"ctr/runtime/container"
	"ctr/runtime/lifecycle"
)

// updatable are the flags of resourceFlags whose limits can change.
var updatable = []string{
	"blkio-weight", "cpu-period", "cpu-quota", "cpu-shares", "cpus", "cpuset-cpus", "cpuset-mems", "memory", "memory-reservation",
	"memory-swap", "pids-limit",
}

func (a *app) updateCommand() *cli.Command {
	flags := []cli.Flag{textFlag("restart", "Restart policy to apply when a container exits")}
	for _, f := range resourceFlags() {
		if slices.Contains(updatable, f.Names()[0]) {
			flags = append(flags, f)
		}
	}
	return &cli.Command{
		Name: "update", Usage: "Update configuration of one or more containers", ArgsUsage: "CONTAINER [CONTAINER...]",
		Description: "ctr update --memory 512m --cpus 1.5 web\nctr update --restart unless-stopped web db", Flags: flags,
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 1, -1); err != nil {
				return err
			}
			change := func(s *container.Spec) error { return specUpdate(c, s) }
			if c.NumFlags() == 0 {
				return &usageError{"you must provide one or more flags when using this command", codeFailed}
			}
			if err := checkUpdate(c); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runUpdate(c.Context, in, c.Args().Slice(), change, a.ui)
		},
	}
}

// checkUpdate finds what is wrong with a flag, whatever container it is for. What contradicts other limits is seen there.
func checkUpdate(c *cli.Context) error {
	if err := readResources(c, new(container.Resources)); err != nil {
		return err
	}
	_, err := options.RestartPolicy(c.String("restart"))
	return err
}

// specUpdate changes what the flags name, and leaves the rest as it is.
func specUpdate(c *cli.Context, s *container.Spec) error {
	old := s.Resources
	if err := specResources(c, s); err != nil {
		return err
	}
	r := &s.Resources
	if !c.IsSet("cpuset-cpus") {
		r.CpusetCpus = old.CpusetCpus
	}
	if !c.IsSet("cpuset-mems") {
		r.CpusetMems = old.CpusetMems
	}
	r.OOMKillDisable, r.CgroupParent, r.Throttles = old.OOMKillDisable, old.CgroupParent, old.Throttles
	if !c.IsSet("restart") {
		return nil
	}
	var err error
	s.Restart, err = options.RestartPolicy(c.String("restart"))
	return err
}

// runUpdate changes containers one after the other.
func runUpdate(ctx context.Context, in *lifecycle.Installation, names []string, change func(*container.Spec) error, ui *ui) error {
	return each(ui, names, func(name string) error {
		c, err := in.Find(name)
		if err != nil {
			return err
		}
		warnings, err := in.Update(ctx, c, change)
		ui.warn(warnings...)
		return err
	})
}
