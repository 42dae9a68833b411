package main

import (
	"context"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/format"
	"ctr/images"
	"ctr/runtime/lifecycle"
)

func (a *app) imagesCommand() *cli.Command {
	return &cli.Command{
		Name: "images", Usage: "List images", ArgsUsage: "[REPOSITORY[:TAG]]",
		Description: "ctr images\nctr images --digests busybox",
		Flags:       formatFlags(boolFlag("all", "Show all images (there are no intermediate ones)", "a"), boolFlag("digests", "Show digests")),
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 0, 1); err != nil {
				return err
			}
			o := imagesOptions{Options: parseFormat(c), digests: c.Bool("digests"), filters: c.StringSlice("filter"), name: c.Args().First()}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runImages(c.Context, in, o, a.ui)
		},
	}
}

type imagesOptions struct {
	format.Options
	digests bool
	filters []string
	name    string // only this one; a pattern too
}

// runImages lists the names of images, the newest first; an image without one has a row too.
func runImages(_ context.Context, in *lifecycle.Installation, o imagesOptions, ui *ui) error {
	if o.name != "" {
		o.filters = append(o.filters, "reference="+o.name)
	}
	keep, err := imageFilters(in, o.filters)
	if err != nil {
		return err
	}
	all, err := in.Images.List()
	if err != nil {
		return err
	}
	users := imageUsers(in)
	now := time.Now()
	var rows []format.Image
	seen := map[string]bool{}
	for _, i := range all {
		names, size := i.Names, in.ImageSize(i)
		if len(names) == 0 {
			names = []string{""}
		}
		for _, name := range names {
			if !keep(i, name) || o.Quiet && seen[i.ID] {
				continue
			}
			seen[i.ID] = true
			rows = append(rows, imageRow(i, name, size, len(users(i.ID)), o.NoTrunc, now))
		}
	}
	listing := format.Images
	if o.digests {
		listing = format.ImagesWithDigest
	}
	return format.Write(ui.out, listing, o.Options, rows)
}

func imageRow(i images.Image, name string, size int64, users int, noTrunc bool, now time.Time) format.Image {
	repo, tag := splitTag(name)
	row := format.Image{
		Repo: repo, TagName: tag, ImageID: i.ID, ManifestID: i.Digest, Created: i.Created, Bytes: size, Users: users, NoTrunc: noTrunc, Now: now,
	}
	if row.Repo == "" {
		row.Repo = "<none>"
	}
	if row.TagName == "" {
		row.TagName = "<none>"
	}
	return row
}

// splitTag splits NAME:TAG; the colon of a registry's port is none.
func splitTag(name string) (repo, tag string) {
	i := strings.LastIndexByte(name, ':')
	if i < 0 || strings.Contains(name[i:], "/") {
		return name, ""
	}
	return name[:i], name[i+1:]
}

// imageUsers tells which containers are made from an image.
func imageUsers(in *lifecycle.Installation) func(id string) []images.User {
	all, _ := in.Containers.List()
	users := map[string][]images.User{}
	for _, c := range all {
		users[c.Image.ID] = append(users[c.Image.ID], images.User{ID: c.ID, Running: c.State().Running()})
	}
	return func(id string) []images.User { return users[id] }
}

func (a *app) tagCommand() *cli.Command {
	return &cli.Command{
		Name: "tag", Usage: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE", ArgsUsage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
		Description: "ctr tag busybox registry.example:5000/busybox:test",
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 2, 2); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			if err := in.Images.Tag(c.Args().First(), c.Args().Get(1)); err != nil {
				return err
			}
			in.NotifyTag(c.Args().Get(1))
			return nil
		},
	}
}
