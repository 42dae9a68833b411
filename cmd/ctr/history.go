package main

import (
	"time"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/format"
	"ctr/images"
	"ctr/runtime/lifecycle"
)

func (a *app) historyCommand() *cli.Command {
	return &cli.Command{
		Name: "history", Usage: "Show the history of an image", ArgsUsage: "IMAGE",
		Description: "ctr history busybox\nctr history --no-trunc --format '{{.CreatedBy}}' busybox",
		Flags: []cli.Flag{
			textFlag("format", `Format output ("table", "table TEMPLATE", "json", or a Go template)`),
			&cli.BoolFlag{Name: "human", Aliases: []string{"H"}, Value: true, Usage: "Print sizes and dates in human readable format"},
			boolFlag("no-trunc", "Do not truncate output"),
			boolFlag("quiet", "Only display image IDs", "q"),
		},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 1, 1); err != nil {
				return err
			}
			o := parseFormat(c)
			if _, err := format.Parse(o.Format); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runHistory(in, c.Args().First(), o, !c.Bool("human"), a.ui)
		},
	}
}

// runHistory prints how an image was made, the last step first.
func runHistory(in *lifecycle.Installation, name string, o format.Options, exact bool, ui *ui) error {
	image, err := in.Images.Find(name)
	if err != nil {
		return err
	}
	listing := format.Steps
	if exact {
		listing = format.StepsExact
	}
	return format.Write(ui.out, listing, o, historyRows(in, image, o.NoTrunc, exact))
}

func historyRows(in *lifecycle.Installation, image images.Image, noTrunc, exact bool) []format.Step {
	now := time.Now()
	var rows []format.Step
	for _, s := range image.History() {
		row := format.Step{Step: s, Exact: exact, NoTrunc: noTrunc, Now: now}
		if s.Layer != nil {
			row.Bytes = in.LayerSize(*s.Layer)
		}
		rows = append(rows, row)
	}
	return rows
}
