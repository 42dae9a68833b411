package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"ctr/runtime/lifecycle"
	"ctr/runtime/processes"
)

func (a *app) topCommand() *cli.Command {
	return &cli.Command{
		Name: "top", Usage: "Display the running processes of a container", ArgsUsage: "CONTAINER [ps OPTION] [ARG...]",
		Description: "ctr top web\nctr top web aux\nctr top web -o pid,etime,args",
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 1, -1); err != nil {
				return err
			}
			columns, err := processes.Columns(c.Args().Tail())
			if err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runTop(c.Context, in, c.Args().First(), columns, a.ui)
		},
	}
}

// runTop prints the processes of a running container.
func runTop(ctx context.Context, in *lifecycle.Installation, name string, columns []processes.Column, ui *ui) error {
	c, err := in.Find(name)
	if err != nil {
		return err
	}
	rows, err := in.Top(ctx, c, columns)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(ui.out, 20, 1, 3, ' ', 0)
	heads := make([]string, len(columns))
	for i, c := range columns {
		heads[i] = c.Head
	}
	for _, row := range append([][]string{heads}, rows...) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}
