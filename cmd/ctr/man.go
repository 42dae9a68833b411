package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// manCommand writes the manual pages of all commands, for `make install`.
func (a *app) manCommand() *cli.Command {
	return &cli.Command{
		Name: "__man", Hidden: true, Usage: "Write the manual pages into a folder", ArgsUsage: "DIR", Description: "ctr __man man1",
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 1, 1); err != nil {
				return err
			}
			return a.writeManual(c.Args().First())
		},
	}
}

// writeManual writes ctr.1, and ctr-COMMAND.1 for each command.
func (a *app) writeManual(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write manual: %w", err)
	}
	m := manual{dir: dir}
	top := &cli.Command{Name: "ctr", Usage: a.cli.Usage, ArgsUsage: "COMMAND", Flags: a.cli.Flags, Subcommands: a.cli.Commands}
	return m.write(nil, top)
}

// manual is a folder of manual pages.
type manual struct{ dir string }

// write writes the page of a command, and those of the commands below it.
func (m manual) write(above []string, c *cli.Command) error {
	words := append(slices.Clip(above), c.Name)
	name := strings.Join(words, "-")
	if err := os.WriteFile(filepath.Join(m.dir, name+".1"), []byte(manPage(words, c)), 0o644); err != nil {
		return fmt.Errorf("write manual: %w", err)
	}
	for _, sub := range c.Subcommands {
		if sub.Hidden {
			continue
		}
		if err := m.write(words, sub); err != nil {
			return err
		}
	}
	return nil
}

// manPage is one page, in the macros of man(7).
func manPage(words []string, c *cli.Command) string {
	var b strings.Builder
	name := strings.Join(words, "-")
	fmt.Fprintf(&b, ".TH %s 1 \"\" ctr \"ctr manual\"\n", roff(strings.ToUpper(name)))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(name), roff(c.Usage))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roff(strings.Join(words, " ")))
	if len(c.Flags) > 0 {
		b.WriteString("[OPTIONS]\n")
	}
	if c.ArgsUsage != "" {
		b.WriteString(roff(c.ArgsUsage) + "\n")
	}
	manCommands(&b, name, c.Subcommands)
	manFlags(&b, c.Flags)
	if c.Description != "" {
		fmt.Fprintf(&b, ".SH EXAMPLE\n.nf\n%s\n.fi\n", roff(c.Description))
	}
	if len(words) > 1 {
		fmt.Fprintf(&b, ".SH SEE ALSO\n.BR %s (1)\n", roff(strings.Join(words[:len(words)-1], "-")))
	}
	return b.String()
}

func manCommands(b *strings.Builder, name string, commands []*cli.Command) {
	if len(commands) == 0 {
		return
	}
	b.WriteString(".SH COMMANDS\n")
	for _, c := range commands {
		if !c.Hidden {
			fmt.Fprintf(b, ".TP\n.BR %s (1)\n%s\n", roff(name+"-"+c.Name), roff(c.Usage))
		}
	}
}

func manFlags(b *strings.Builder, flags []cli.Flag) {
	first := true
	for _, f := range flags {
		doc, ok := f.(cli.DocGenerationFlag)
		if !ok {
			continue
		}
		if first {
			b.WriteString(".SH OPTIONS\n")
			first = false
		}
		fmt.Fprintf(b, ".TP\n\\fB%s\\fR\n%s\n", roff(strings.TrimSpace(spelling(f))), roff(usage(doc)))
	}
}

// roff escapes what troff would take for its own: backslashes, hyphens that are to be copied, and controls at a line's beginning.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, `-`, `\-`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
