package main

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/format"
	"ctr/runtime/container"
	"ctr/runtime/lifecycle"
)

// samplePeriod is the time between two samples.
const samplePeriod = time.Second

func (a *app) statsCommand() *cli.Command {
	return &cli.Command{
		Name: "stats", Usage: "Display a live stream of container(s) resource usage statistics", ArgsUsage: "[CONTAINER...]",
		Description: "ctr stats\nctr stats --no-stream --format '{{.Name}}: {{.CPUPerc}}' web db",
		Flags: []cli.Flag{
			boolFlag("all", "Show all containers (default shows just running)", "a"),
			textFlag("format", `Format output ("table", "table TEMPLATE", "json", or a Go template)`),
			boolFlag("no-stream", "Disable streaming stats and only pull the first result"),
			boolFlag("no-trunc", "Do not truncate output"),
		},
		Action: func(c *cli.Context) error {
			o := statsOptions{Options: parseFormat(c), all: c.Bool("all"), once: c.Bool("no-stream"), names: c.Args().Slice()}
			if _, err := format.Parse(o.Format); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runStats(c.Context, in, o, a.ui)
		},
	}
}

type statsOptions struct {
	format.Options
	all, once bool
	names     []string // none: all containers
}

// runStats prints what containers use, every second. On a terminal the table stays in its place; elsewhere each sample is a
// line of JSON, unless a format is given.
func runStats(ctx context.Context, in *lifecycle.Installation, o statsOptions, ui *ui) error {
	live := !o.once && o.Format == "" && ui.stdoutIsTerminal()
	if !o.once && o.Format == "" && !live {
		o.Format = "json"
	}
	w := statsWatch{in: in, options: o, last: map[string]lifecycle.Usage{}}
	tick := time.NewTicker(samplePeriod)
	defer tick.Stop()
	for first := true; ; first = false {
		rows, err := w.sample(ctx)
		if err != nil {
			return err
		}
		if !first { // how busy a CPU was is told by two samples
			if err := printSample(ui, o, rows, live); err != nil || o.once {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// printSample prints rows; a live table over the one before.
func printSample(ui *ui, o statsOptions, rows []format.Usage, live bool) error {
	var b bytes.Buffer
	if err := format.Write(&b, format.Usages, o.Options, rows); err != nil {
		return err
	}
	text := b.Bytes()
	if live {
		// Home; each line cleared to its end, and what is below the last one: no flicker.
		text = append([]byte("\x1b[H"), bytes.ReplaceAll(text, []byte("\n"), []byte("\x1b[K\n"))...)
		text = append(text, "\x1b[J"...)
	}
	_, err := ui.out.Write(text)
	return err
}

// statsWatch remembers the last sample of each container.
type statsWatch struct {
	in      *lifecycle.Installation
	options statsOptions
	last    map[string]lifecycle.Usage // by ID
}

func (w *statsWatch) sample(ctx context.Context) ([]format.Usage, error) {
	watched, err := w.watched()
	if err != nil {
		return nil, err
	}
	rows := []format.Usage{}
	for _, c := range watched {
		now, err := w.in.Usage(ctx, c.Container)
		if err != nil && !errors.Is(err, container.ErrNotRunning) && c.State().Running() {
			return nil, err
		}
		if err != nil {
			now = lifecycle.Usage{}
		}
		rows = append(rows, format.Usage{
			FullID: c.ID, NameText: c.Name, Asked: c.asked, Last: w.last[c.ID], Now: now, NoTrunc: w.options.NoTrunc,
		})
		w.last[c.ID] = now
	}
	return rows, nil
}

// watchedContainer is a container, and what the user called it.
type watchedContainer struct {
	*container.Container
	asked string
}

func (w *statsWatch) watched() ([]watchedContainer, error) {
	var all []watchedContainer
	for _, name := range w.options.names {
		c, err := w.in.Find(name)
		if err != nil {
			return nil, err
		}
		all = append(all, watchedContainer{c, name})
	}
	if len(w.options.names) > 0 {
		return all, nil
	}
	list, _ := w.in.Containers.List()
	for _, c := range list {
		if w.options.all || c.State().Running() {
			all = append(all, watchedContainer{c, c.ShortID()})
		}
	}
	return all, nil
}
