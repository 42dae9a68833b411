package main

import (
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// Each command shows how it is used, by its own name.
func TestEveryCommandHasAnExample(t *testing.T) {
	t.Parallel()
	a := newApp(&ui{out: &output{}})
	var check func(path string, commands []*cli.Command)
	check = func(path string, commands []*cli.Command) {
		for _, c := range commands {
			name := path + " " + c.Name
			switch {
			case len(c.Subcommands) > 0:
				check(name, c.Subcommands)
			case c.Hidden:
			case c.Usage == "", !strings.HasPrefix(c.Description, "ctr ") && !strings.Contains(c.Description, "(ctr "):
				t.Errorf("%s: usage %q, example %q", name, c.Usage, c.Description)
			}
		}
	}
	check("ctr", a.cli.Commands)
}
