package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"ctr/network"
	"ctr/runtime/lifecycle"
)

func (a *app) networkCheckCommand() *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "Tell what differs from what should be: bridges, addresses, rules, names. Exit code 1 if anything does",
		Description: "ctr network check\nctr network check --format json",
		Flags:       []cli.Flag{findingsFormat()},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 0, 0); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runNetworkCheck(c.Context, in, c.String("format"), a.ui)
		},
	}
}

func (a *app) networkRepairCommand() *cli.Command {
	return &cli.Command{
		Name: "repair", Usage: "Put back what is missing of networks and published ports; running containers do not notice. Exit code 1 if something is left",
		Description: "ctr network repair",
		Flags:       []cli.Flag{findingsFormat()},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 0, 0); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runNetworkRepair(c.Context, in, c.String("format"), a.ui)
		},
	}
}

func findingsFormat() cli.Flag {
	return textFlag("format", `Format output of each difference ("json", or a Go template)`, "f")
}

// runNetworkCheck prints what differs.
func runNetworkCheck(ctx context.Context, in *lifecycle.Installation, text string, ui *ui) error {
	found, err := in.Networks.Check(ctx)
	if err != nil {
		return err
	}
	for _, f := range found {
		if f.Cure {
			defer ui.notice("hint: 'ctr network repair' puts this in order")
			break
		}
	}
	return printFindings(ui, text, found)
}

// runNetworkRepair repairs, and prints what it could not.
func runNetworkRepair(ctx context.Context, in *lifecycle.Installation, text string, ui *ui) error {
	left, err := in.Networks.Repair(ctx)
	if err != nil {
		return err
	}
	return printFindings(ui, text, left)
}

// printFindings prints differences, one a line. The exit code tells whether there were any.
func printFindings(ui *ui, text string, found []network.Finding) error {
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
	return ended(codeFailed)
}
