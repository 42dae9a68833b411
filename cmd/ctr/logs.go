package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/options"
	"ctr/runtime/lifecycle"
	"ctr/runtime/logs"
)

func (a *app) logsCommand() *cli.Command {
	return &cli.Command{
		Name: "logs", Usage: "Fetch the logs of a container", ArgsUsage: "CONTAINER",
		Description: "ctr logs --tail 20 -f web\nctr logs --since 10m --timestamps web",
		Flags: []cli.Flag{
			boolFlag("follow", "Follow log output", "f"),
			&cli.StringFlag{Name: "tail", Aliases: []string{"n"}, Value: "all", Usage: "Number of lines to show from the end of the logs"},
			textFlag("since", `Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)`),
			textFlag("until", `Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)`),
			boolFlag("timestamps", "Show timestamps", "t"),
			boolFlag("details", "Show extra details provided to logs"),
		},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 1, 1); err != nil {
				return err
			}
			o, err := parseLogs(c, time.Now())
			if err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runLogs(c.Context, in, c.Args().First(), o, a.ui)
		},
	}
}

type logsOptions struct {
	logs.ReadOptions
	follow, timestamps, details bool
}

func parseLogs(c *cli.Context, now time.Time) (o logsOptions, err error) {
	o.follow, o.timestamps, o.details = c.Bool("follow"), c.Bool("timestamps"), c.Bool("details")
	o.Stdout, o.Stderr = true, true
	if o.Tail, err = options.Tail(c.String("tail")); err != nil {
		return o, err
	}
	for flag, to := range map[string]*time.Time{"since": &o.Since, "until": &o.Until} {
		if text := c.String(flag); text != "" {
			if *to, err = options.Time(text, now); err != nil {
				return o, fmt.Errorf("invalid value for %q: %w", flag, err)
			}
		}
	}
	return o, nil
}

// runLogs prints a container's log, its two streams on ours. Following ends with the container.
func runLogs(ctx context.Context, in *lifecycle.Installation, name string, o logsOptions, ui *ui) error {
	c, err := in.Find(name)
	if err != nil {
		return err
	}
	if d := c.Spec.Log.Driver; d == "none" || d == "journald" {
		return errors.New("configured logging driver does not support reading")
	}
	p := newLogPrinter(ui, o)
	o.Idle = p.flush
	if s := c.State(); o.follow && s.Active() {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			in.Wait(ctx, c) //nolint:errcheck // however it ended, there is no more to come
		}()
		o.Follow = ended
	}
	err = logs.Read(ctx, c.LogPath(), o.ReadOptions, p.print)
	return errors.Join(err, p.flush())
}

// logPrinter prints entries to the stream that each came from, in blocks.
type logPrinter struct {
	out        [2]*bufio.Writer
	last       logs.Stream
	timestamps bool
	details    bool
	inLine     [2]bool // the last entry of the stream had no end of line
	stamp      []byte
}

func newLogPrinter(ui *ui, o logsOptions) *logPrinter {
	p := &logPrinter{timestamps: o.timestamps, details: o.details}
	for s, w := range []io.Writer{logs.Stdout: ui.out, logs.Stderr: ui.err} {
		p.out[s] = bufio.NewWriterSize(w, 64<<10)
	}
	return p
}

// stampLayout is RFC 3339 with all nine digits, so that the columns stay.
const stampLayout = "2006-01-02T15:04:05.000000000Z07:00 "

func (p *logPrinter) print(e logs.Entry) error {
	if e.Stream != p.last {
		// In the order of the log, where both streams are one terminal.
		if err := p.out[p.last].Flush(); err != nil {
			return err
		}
		p.last = e.Stream
	}
	w := p.out[e.Stream]
	if p.timestamps && !p.inLine[e.Stream] {
		p.stamp = e.Time.AppendFormat(p.stamp[:0], stampLayout)
		if _, err := w.Write(p.stamp); err != nil {
			return err
		}
	}
	if p.details && !p.inLine[e.Stream] {
		if _, err := w.WriteString(details(e.Attrs)); err != nil {
			return err
		}
	}
	p.inLine[e.Stream] = len(e.Line) == 0 || e.Line[len(e.Line)-1] != '\n'
	_, err := w.Write(e.Line)
	return err
}

func (p *logPrinter) flush() error {
	return errors.Join(p.out[logs.Stdout].Flush(), p.out[logs.Stderr].Flush())
}

// details are the attributes of an entry, sorted, as Docker writes them before the text.
func details(attrs []byte) string {
	var values map[string]string
	if len(attrs) == 0 || json.Unmarshal(attrs, &values) != nil {
		return " "
	}
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		pairs = append(pairs, url.QueryEscape(name)+"="+url.QueryEscape(values[name]))
	}
	return strings.Join(pairs, ",") + " "
}
