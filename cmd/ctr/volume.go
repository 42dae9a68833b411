package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/format"
	"ctr/cmd/ctr/internal/options"
	"ctr/rootfs"
	"ctr/runtime/lifecycle"
	"ctr/runtime/volume"
)

func (a *app) volumeCreateCommand() *cli.Command {
	return &cli.Command{
		Name: "create", Usage: "Create a volume", ArgsUsage: "[VOLUME]", Description: "ctr volume create --label app=shop data",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "driver", Aliases: []string{"d"}, Value: "local", Usage: "Specify volume driver name"},
			listFlag("label", "Set metadata for a volume"),
			textFlag("name", "Specify volume name"),
			listFlag("opt", "Set driver specific options (type=tmpfs, device=tmpfs, o=size=10m)", "o"),
		},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 0, 1); err != nil {
				return err
			}
			spec := volume.Spec{Name: c.Args().First()}
			switch {
			case c.String("driver") != "local":
				return fmt.Errorf("volume driver %q is not supported: use \"local\"", c.String("driver"))
			case spec.Name != "" && c.IsSet("name"):
				return errors.New("conflicting options: cannot specify a volume-name through both --name and as a positional arg")
			case c.IsSet("name"):
				spec.Name = c.String("name")
			}
			var err error
			if spec.Labels, err = options.Labels(nil, c.StringSlice("label")); err != nil {
				return err
			}
			if spec.Options, err = options.DriverOptions(c.StringSlice("opt")); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			v, err := in.CreateVolume(spec)
			if err != nil {
				return err
			}
			a.ui.println(v.Name)
			return nil
		},
	}
}

func (a *app) volumeLsCommand() *cli.Command {
	return &cli.Command{
		Name: "ls", Aliases: []string{"list"}, Usage: "List volumes", Description: "ctr volume ls --filter dangling=true", Flags: formatFlags(),
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 0, 0); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runVolumeLs(c.Context, in, parseFormat(c), c.StringSlice("filter"), a.ui)
		},
	}
}

// runVolumeLs lists volumes by name.
func runVolumeLs(_ context.Context, in *lifecycle.Installation, o format.Options, texts []string, ui *ui) error {
	keep, err := volumeFilters(in, texts)
	if err != nil {
		return err
	}
	all, err := in.Volumes.List()
	if err != nil {
		return err
	}
	var users map[string][]string
	if strings.Contains(o.Format, ".Links") || strings.Contains(o.Format, "json") {
		if users, err = in.VolumeUsers(); err != nil {
			return err
		}
	}
	var rows []format.Volume
	for _, v := range all {
		if keep(v) {
			rows = append(rows, volumeRow(v, len(users[v.Name])))
		}
	}
	return format.Write(ui.out, format.Volumes, o, rows)
}

func volumeRow(v *volume.Volume, users int) format.Volume {
	return format.Volume{Spec: v.Spec, Path: v.Path(), SizeOf: func() int64 { return rootfs.Usage(v.Path()) }, Users: users}
}

// volumeFilters is the test for `volume ls`.
func volumeFilters(in *lifecycle.Installation, texts []string) (func(*volume.Volume) bool, error) {
	f, err := parseFilters(texts, []string{"dangling", "driver", "label", "name"})
	if err != nil {
		return nil, err
	}
	dangling, err := f.boolean("dangling")
	if err != nil {
		return nil, err
	}
	names, err := f.patterns("name")
	if err != nil {
		return nil, err
	}
	users, err := in.VolumeUsers()
	if err != nil && dangling != nil {
		return nil, err
	}
	return func(v *volume.Volume) bool {
		return (dangling == nil || *dangling == (len(users[v.Name]) == 0)) && f.labels(v.Labels) &&
			f.any("driver", func(w string) bool { return w == "local" }) &&
			matchAny(names, v.Name)
	}, nil
}

func (a *app) volumeRmCommand() *cli.Command {
	return a.removeCommand("volume", volume.ErrNotFound, func(_ context.Context, in *lifecycle.Installation, name string) error {
		return in.RemoveVolume(name)
	})
}

func (a *app) volumeNames() []string {
	in, err := a.open()
	if err != nil {
		return nil
	}
	all, err := in.Volumes.List()
	if err != nil {
		return nil
	}
	var names []string
	for _, v := range all {
		names = append(names, v.Name)
	}
	return names
}
