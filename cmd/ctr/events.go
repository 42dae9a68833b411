package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/format"
	"ctr/cmd/ctr/internal/options"
	"ctr/runtime/events"
	"ctr/runtime/lifecycle"
)

func (a *app) eventsCommand() *cli.Command {
	return &cli.Command{
		Name: "events", Usage: "Get real time events of this installation",
		Description: "ctr events --filter container=web\nctr events --since 1h --until 0s --format json",
		Flags: []cli.Flag{
			listFlag("filter", "Filter output based on conditions provided", "f"),
			textFlag("format", `Format output ("json", or a Go template)`),
			textFlag("since", "Show all events created since timestamp"),
			textFlag("until", "Stream events until this timestamp"),
		},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 0, 0); err != nil {
				return err
			}
			o, err := parseEvents(c, time.Now())
			if err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runEvents(c.Context, in, o, a.ui)
		},
	}
}

type eventsOptions struct {
	events.ReadOptions
	keep  func(events.Event) bool
	print func(ui *ui, e events.Event) error
}

func parseEvents(c *cli.Context, now time.Time) (o eventsOptions, err error) {
	for flag, to := range map[string]*time.Time{"since": &o.Since, "until": &o.Until} {
		if text := c.String(flag); text != "" {
			if *to, err = options.Time(text, now); err != nil {
				return o, fmt.Errorf("invalid value for %q: %w", flag, err)
			}
		}
	}
	if !o.Since.IsZero() && !o.Until.IsZero() && o.Since.After(o.Until) {
		return o, fmt.Errorf("`since` time (%s) cannot be after `until` time (%s)", c.String("since"), c.String("until"))
	}
	if o.keep, err = eventFilters(c.StringSlice("filter")); err != nil {
		return o, err
	}
	switch text := c.String("format"); text {
	case "":
		o.print = printEvent
	case "json", "{{json .}}":
		o.print = func(ui *ui, e events.Event) error { return json.NewEncoder(ui.out).Encode(e) }
	default:
		var t *template.Template
		if t, err = format.Parse(text); err != nil {
			return o, err
		}
		o.print = func(ui *ui, e events.Event) error {
			line, err := format.Execute(t, e)
			if err == nil {
				_, err = ui.out.Write(line)
			}
			return err
		}
	}
	return o, nil
}

// runEvents prints what happens, until it is told to stop. Standard output that is full or gone ends it.
func runEvents(ctx context.Context, in *lifecycle.Installation, o eventsOptions, ui *ui) error {
	return in.Events.Read(ctx, o.ReadOptions, func(e events.Event) error {
		if !o.keep(e) {
			return nil
		}
		if err := o.print(ui, e); err != nil {
			return err
		}
		return ui.out.err
	})
}

// printEvent prints an event on one line, as Docker does.
func printEvent(ui *ui, e events.Event) error {
	var attributes []string
	for _, name := range slices.Sorted(maps.Keys(e.Actor.Attributes)) {
		attributes = append(attributes, name+"="+e.Actor.Attributes[name])
	}
	line := fmt.Sprintf("%s %s %s %s", e.When().Format("2006-01-02T15:04:05.000000000Z07:00"), e.Type, e.Action, e.Actor.ID)
	if len(attributes) > 0 {
		line += " (" + strings.Join(attributes, ", ") + ")"
	}
	ui.println(line)
	return nil
}

// eventFilters is the test for `events`.
func eventFilters(texts []string) (func(events.Event) bool, error) {
	f, err := parseFilters(texts, []string{"container", "event", "image", "label", "network", "scope", "type", "volume"})
	if err != nil {
		return nil, err
	}
	about := func(e events.Event, kind events.Type) func(string) bool {
		return func(want string) bool {
			return e.Type == kind && (e.Actor.Attributes["name"] == want || want != "" && strings.HasPrefix(e.Actor.ID, want))
		}
	}
	return func(e events.Event) bool {
		return f.any("container", about(e, events.Container)) &&
			f.any("event", func(w string) bool { return e.Action == w || strings.HasPrefix(e.Action, w+":") }) &&
			f.any("image", func(w string) bool { return about(e, events.Image)(w) || e.Actor.Attributes["image"] == w }) &&
			f.labels(e.Actor.Attributes) &&
			f.any("network", about(e, events.Network)) &&
			f.any("scope", func(w string) bool { return e.Scope == w }) &&
			f.any("type", func(w string) bool { return string(e.Type) == w }) &&
			f.any("volume", about(e, events.Volume))
	}, nil
}
