package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/format"
	"ctr/images"
	"ctr/rootfs"
	"ctr/runtime/lifecycle"
)

func (a *app) systemDfCommand() *cli.Command {
	return &cli.Command{
		Name: "df", Usage: "Show disk usage", Description: "ctr system df\nctr system df -v",
		Flags: []cli.Flag{
			textFlag("format", `Format output ("table", "table TEMPLATE", "json", or a Go template)`),
			boolFlag("verbose", "Show detailed information on space usage", "v"),
		},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 0, 0); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			if c.Bool("verbose") {
				return runSystemDfVerbose(c.Context, in, c.String("format"), a.ui)
			}
			return runSystemDf(c.Context, in, parseFormat(c), a.ui)
		},
	}
}

// runSystemDf prints what images, containers and volumes take, and what the prune commands would give back.
func runSystemDf(_ context.Context, in *lifecycle.Installation, o format.Options, ui *ui) error {
	stored, imagesErr := imagesUsage(in)
	containers, containersErr := containersUsage(in)
	volumes, volumesErr := volumesUsage(in)
	return errors.Join(format.Write(ui.out, format.DiskUsages, o, []format.DiskUsage{stored, containers, volumes}),
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
	needed, layers := map[string]bool{}, measureLayers(in, all)
	for _, i := range all {
		used := len(users(i.ID)) > 0
		d.All++
		if used {
			d.Used++
		}
		for _, l := range i.Layers {
			needed[l.ChainID] = needed[l.ChainID] || used
		}
	}
	for id, l := range layers {
		d.Bytes += l.bytes
		if !needed[id] {
			d.ReclaimBytes += l.bytes
		}
	}
	return d, nil
}

// layerUsage is what a layer takes, packed and unpacked.
type layerUsage struct {
	bytes  int64
	images int // how many have it
}

// measureLayers measures the layers of images, by their chain IDs.
func measureLayers(in *lifecycle.Installation, all []images.Image) map[string]layerUsage {
	layers := map[string]layerUsage{}
	for _, i := range all {
		for _, l := range i.Layers {
			u, known := layers[l.ChainID]
			if !known {
				u.bytes = in.LayerSize(l)
			}
			u.images++
			layers[l.ChainID] = u
		}
	}
	return layers
}

func containersUsage(in *lifecycle.Installation) (format.DiskUsage, error) {
	d := format.DiskUsage{Kind: "Containers"}
	all, broken := in.Containers.List()
	for _, c := range all {
		size := rootfs.Usage(c.UpperDir())
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
		size := rootfs.Usage(v.Path())
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
