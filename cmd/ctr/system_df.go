package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/format"
	"ctr/runtime/lifecycle"
)

func (a *app) systemDfCommand() *cli.Command {
	return &cli.Command{
		Name: "df", Usage: "Show disk usage", Description: "ctr system df",
		Flags: []cli.Flag{textFlag("format", `Format output ("table", "table TEMPLATE", "json", or a Go template)`)},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 0, 0); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runSystemDf(c.Context, in, parseFormat(c), a.ui)
		},
	}
}

// runSystemDf prints what images, containers and volumes take, and what the prune commands would give back.
func runSystemDf(_ context.Context, in *lifecycle.Installation, o format.Options, ui *ui) error {
	images, imagesErr := imagesUsage(in)
	containers, containersErr := containersUsage(in)
	volumes, volumesErr := volumesUsage(in)
	return errors.Join(format.Write(ui.out, format.DiskUsages, o, []format.DiskUsage{images, containers, volumes}),
		imagesErr, containersErr, volumesErr)
}

// imagesUsage counts what is stored once, once: layers, packed and unpacked.
func imagesUsage(in *lifecycle.Installation) (format.DiskUsage, error) {
	d := format.DiskUsage{Kind: "Images"}
	all, err := in.Images.List()
	if err != nil {
		return d, err
	}
	users := imageUsers(in)
	needed, sizes := map[string]bool{}, map[string]int64{}
	for _, i := range all {
		used := len(users(i.ID)) > 0
		d.All++
		if used {
			d.Used++
		}
		for _, l := range i.Layers {
			if _, known := sizes[l.ChainID]; !known {
				sizes[l.ChainID] = l.Size + diskUsage(in.Layers.Path(l.ChainID))
			}
			needed[l.ChainID] = needed[l.ChainID] || used
		}
	}
	for id, size := range sizes {
		d.Bytes += size
		if !needed[id] {
			d.ReclaimBytes += size
		}
	}
	return d, nil
}

func containersUsage(in *lifecycle.Installation) (format.DiskUsage, error) {
	d := format.DiskUsage{Kind: "Containers"}
	all, broken := in.Containers.List()
	for _, c := range all {
		size := diskUsage(c.UpperDir())
		d.All++
		d.Bytes += size
		if c.State().Active() {
			d.Used++
		} else {
			d.ReclaimBytes += size
		}
	}
	return d, errors.Join(broken...)
}

func volumesUsage(in *lifecycle.Installation) (format.DiskUsage, error) {
	d := format.DiskUsage{Kind: "Local Volumes"}
	all, err := in.Volumes.List()
	if err != nil {
		return d, err
	}
	users, err := in.VolumeUsers()
	for _, v := range all {
		size := diskUsage(v.Path())
		d.All++
		d.Bytes += size
		if len(users[v.Name]) > 0 {
			d.Used++
		} else {
			d.ReclaimBytes += size
		}
	}
	return d, err
}
