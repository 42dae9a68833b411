package main

import (
	"context"
	"slices"

	"github.com/urfave/cli/v2"

	"ctr/network"
)

func (a *app) networkCheckCommand() *cli.Command {
	return a.findingsCommand("check", "Tell what differs from what should be: bridges, addresses, rules, names. Exit code 1 if anything does",
		"ctr network check\nctr network check --format json", "'ctr network repair' puts this in order", (*network.Networks).Check)
}

func (a *app) networkRepairCommand() *cli.Command {
	return a.findingsCommand("repair", "Put back what is missing of networks and published ports; running containers do not notice. Exit code 1 if something is left",
		"ctr network repair", "somebody takes away again what is put back", (*network.Networks).Repair)
}

// findingsCommand is a command that prints the differences which look returns; curable is a hint about those that can be cured.
func (a *app) findingsCommand(name, usage, examples, curable string, look func(*network.Networks, context.Context) ([]network.Finding, error)) *cli.Command {
	return &cli.Command{
		Name: name, Usage: usage, Description: examples,
		Flags: []cli.Flag{textFlag("format", `Format output of each difference ("json", or a Go template)`, "f")},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 0, 0); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			found, err := look(in.Networks, c.Context)
			if err != nil {
				return err
			}
			return printFindings(a.ui, c.String("format"), found, curable)
		},
	}
}

// printFindings prints differences, one a line, and what can be done. The exit code tells whether there were any.
func printFindings(ui *ui, text string, found []network.Finding, curable string) error {
	if len(found) == 0 {
		return nil
	}
	if text == "" {
		text = "{{.Text}}"
	}
	for _, f := range found {
		if err := printFormatted(ui, text, f); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(found, func(f network.Finding) bool { return f.Cure }) {
		ui.notice("hint: " + curable)
	}
	return ended(codeFailed)
}
