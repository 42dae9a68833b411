package main

import (
	"context"
	"errors"
	"time"

	"ctr/cmd/ctr/internal/format"
	"ctr/images"
	"ctr/rootfs"
	"ctr/runtime/lifecycle"
)

// diskDetail is all that `system df -v` shows.
type diskDetail struct {
	Images     []format.Image
	Containers []format.Container
	Volumes    []format.Volume
}

// runSystemDfVerbose prints what each image, container and volume takes.
func runSystemDfVerbose(_ context.Context, in *lifecycle.Installation, text string, ui *ui) error {
	u, err := measureAll(in)
	if text != "" && text != "table" {
		return errors.Join(printFormatted(ui, text, u), err)
	}
	ui.println("Images space usage:\n")
	errs := []error{err, format.Write(ui.out, format.ImagesUsage, format.Options{}, u.Images)}
	ui.println("\nContainers space usage:\n")
	errs = append(errs, format.Write(ui.out, format.ContainersUsage, format.Options{}, u.Containers))
	ui.println("\nLocal Volumes space usage:\n")
	return errors.Join(append(errs, format.Write(ui.out, format.VolumesUsage, format.Options{}, u.Volumes))...)
}

func measureAll(in *lifecycle.Installation) (u diskDetail, err error) {
	var errs []error
	now := time.Now()
	u.Images, err = imagesInDetail(in, now)
	errs = append(errs, err)
	v, err := newViewer(in)
	if err != nil {
		return u, err
	}
	all, broken := in.Containers.List()
	for _, c := range all {
		row := format.Container{Summary: v.view(c).Summary(now), Now: now}
		row.SizeOf = func() (int64, int64) { return rootfs.Usage(c.UpperDir()), 0 }
		u.Containers = append(u.Containers, row)
	}
	volumes, err := in.Volumes.List()
	errs = append(errs, err)
	users, err := in.VolumeUsers()
	for _, one := range volumes {
		u.Volumes = append(u.Volumes, volumeRow(one, len(users[one.Name])))
	}
	return u, errors.Join(append(errs, append(broken, err)...)...)
}

// imagesInDetail are rows with what each image shares with others, and has alone.
func imagesInDetail(in *lifecycle.Installation, now time.Time) ([]format.Image, error) {
	all, err := in.Images.List()
	if err != nil {
		return nil, err
	}
	users, layers := imageUsers(in), measureLayers(in, all)
	var rows []format.Image
	for _, i := range all {
		shared, unique := split(i, layers)
		names := i.Names
		if len(names) == 0 {
			names = []string{""}
		}
		for _, name := range names {
			row := imageRow(i, name, shared+unique, len(users(i.ID)), false, now)
			row.Shared, row.Unique = &shared, &unique
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// split adds up what an image has in common with others, and the rest.
func split(i images.Image, layers map[string]layerUsage) (shared, unique int64) {
	for _, l := range i.Layers {
		if u := layers[l.ChainID]; u.images > 1 {
			shared += u.bytes
		} else {
			unique += u.bytes
		}
	}
	return shared, unique
}
