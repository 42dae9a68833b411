package main

import (
	"context"
	"errors"
	"runtime/debug"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/format"
	"ctr/rootfs"
	"ctr/runtime/container"
	"ctr/runtime/lifecycle"
)

// formatFlags are those of all listings.
func formatFlags(more ...cli.Flag) []cli.Flag {
	return append(more,
		listFlag("filter", "Filter output based on conditions provided", "f"),
		textFlag("format", `Format output ("table", "table TEMPLATE", "json", or a Go template)`),
		boolFlag("no-trunc", "Do not truncate output"),
		boolFlag("quiet", "Only display IDs", "q"),
	)
}

func parseFormat(c *cli.Context) format.Options {
	return format.Options{Format: c.String("format"), Quiet: c.Bool("quiet"), NoTrunc: c.Bool("no-trunc")}
}

func (a *app) psCommand() *cli.Command {
	return &cli.Command{
		Name: "ps", Usage: "List containers",
		Description: "ctr ps -a\nctr ps --filter name=web --format 'table {{.Names}}\\t{{.Status}}'",
		Flags: formatFlags(
			boolFlag("all", "Show all containers (default shows just running)", "a"),
			boolFlag("latest", "Show the latest created container (includes all states)", "l"),
			&cli.IntFlag{Name: "last", Aliases: []string{"n"}, Value: -1, Usage: "Show n last created containers (includes all states)"},
			boolFlag("size", "Display total file sizes", "s"),
		),
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 0, 0); err != nil {
				return err
			}
			o := psOptions{Options: parseFormat(c), all: c.Bool("all"), last: c.Int("last"), size: c.Bool("size"), filters: c.StringSlice("filter")}
			if o.last == 0 { // as Docker has it
				o.last = -1
			}
			if c.Bool("latest") && o.last < 0 {
				o.last = 1
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runPs(c.Context, in, o, a.ui)
		},
	}
}

type psOptions struct {
	format.Options
	all     bool
	last    int // -1: all
	size    bool
	filters []string
}

// rowsGCPercent lets the heap grow to some 20 MB before it is collected: nothing of it is garbage before the last row is printed.
// It is worth a sixth of the time of 500 rows.
const rowsGCPercent = 400

// runPs lists containers, the newest first. A record that cannot be read is said, and hides no other.
func runPs(_ context.Context, in *lifecycle.Installation, o psOptions, ui *ui) error {
	debug.SetGCPercent(rowsGCPercent)
	sweep(in, ui)
	v, err := newViewer(in)
	if err != nil {
		return err
	}
	all, broken := in.Containers.List()
	keep, err := containerFilters(in, v, o.filters, o.all || o.last >= 0)
	if err != nil {
		return err
	}
	now := time.Now()
	var rows []format.Container
	for i, shown := range v.views(all) {
		if o.last >= 0 && len(rows) >= o.last {
			break
		}
		c := all[i]
		s := summary{Summary: shown.Summary(now), container: c, state: shown.State}
		if !keep(s) {
			continue
		}
		row := format.Container{Summary: s.Summary, NoTrunc: o.NoTrunc, Now: now}
		if o.size || strings.Contains(o.Format, ".Size") {
			row.SizeOf = func() (int64, int64) { return sizes(in, c) }
		}
		rows = append(rows, row)
	}
	listing := format.Containers
	if o.size {
		listing = format.ContainersWithSize
	}
	return errors.Join(format.Write(ui.out, listing, o.Options, rows), errors.Join(broken...))
}

// sizes are the bytes of a container's writable layer, and with its image's.
func sizes(in *lifecycle.Installation, c *container.Container) (rw, all int64) {
	rw = rootfs.Usage(c.UpperDir())
	all = rw
	for _, id := range c.Rootfs.Layers {
		all += in.Layers.Size(id)
	}
	return rw, all
}
