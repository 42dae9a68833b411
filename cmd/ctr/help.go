package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"
)

// help prints how to use a command, or, without one, what commands there are.
func (a *app) help(path []*cli.Command) {
	var b strings.Builder
	if len(path) == 0 {
		fmt.Fprintf(&b, "Usage:  ctr [OPTIONS] COMMAND\n\n%s\n", a.cli.Usage)
		listCommands(&b, "Commands", a.cli.Commands, false)
		listCommands(&b, "Management Commands", a.cli.Commands, true)
		listFlags(&b, "Global Options", a.cli.Flags)
		b.WriteString("\nRun 'ctr COMMAND --help' for more information on a command.\n")
		a.ui.printf("%s", b.String())
		return
	}
	c := path[len(path)-1]
	words := []string{"ctr"}
	for _, p := range path {
		words = append(words, p.Name)
	}
	if len(c.Flags) > 0 {
		words = append(words, "[OPTIONS]")
	}
	words = append(words, c.ArgsUsage)
	fmt.Fprintf(&b, "Usage:  %s\n\n%s\n", strings.TrimSpace(strings.Join(words, " ")), c.Usage)
	listCommands(&b, "Commands", c.Subcommands, false)
	listFlags(&b, "Options", c.Flags)
	if c.Description != "" {
		fmt.Fprintf(&b, "\nExample:\n%s", indent(c.Description))
	}
	a.ui.printf("%s", b.String())
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("  " + strings.TrimRight(line, "\n") + "\n")
	}
	return b.String()
}

// listCommands lists those that group others, or those that do not.
func listCommands(b *strings.Builder, title string, commands []*cli.Command, groups bool) {
	w := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	first := true
	for _, c := range commands {
		if c.Hidden || (len(c.Subcommands) > 0) != groups {
			continue
		}
		if first {
			fmt.Fprintf(w, "\n%s:\n", title)
			first = false
		}
		fmt.Fprintf(w, "  %s\t%s\n", c.Name, c.Usage)
	}
	w.Flush()
}

func listFlags(b *strings.Builder, title string, flags []cli.Flag) {
	w := tabwriter.NewWriter(b, 0, 8, 3, ' ', 0)
	first := true
	for _, f := range flags {
		doc, ok := f.(cli.DocGenerationFlag)
		visible, canHide := f.(cli.VisibleFlag)
		if !ok || canHide && !visible.IsVisible() {
			continue
		}
		if first {
			fmt.Fprintf(w, "\n%s:\n", title)
			first = false
		}
		fmt.Fprintf(w, "  %s\t%s\n", spelling(f), usage(doc))
	}
	w.Flush()
}

// spelling is "-e, --env list".
func spelling(f cli.Flag) string {
	short, long := "    ", "--"+f.Names()[0]
	for _, n := range f.Names() {
		if len(n) == 1 {
			short = "-" + n + ", "
			break
		}
	}
	kind := ""
	switch f.(type) {
	case *cli.StringFlag:
		kind = " string"
	case *cli.StringSliceFlag:
		kind = " list"
	case *cli.IntFlag, *cli.Int64Flag:
		kind = " int"
	case *cli.DurationFlag:
		kind = " duration"
	}
	return short + long + kind
}

func usage(f cli.DocGenerationFlag) string {
	text := f.GetUsage()
	if s, ok := f.(*cli.StringFlag); ok && s.Value != "" {
		text += fmt.Sprintf(" (default %q)", s.Value)
	}
	return text
}
