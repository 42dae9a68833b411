package main

import (
	"slices"

	"ctr/internal/span"
)

// timed looks for --timing before the command, which no help shows: with it, the command ends with a table of where its time
// went, in this process and in the monitor.
func timed(args []string, ui *ui) []string {
	if len(args) < 2 || args[1] != "--timing" {
		return args
	}
	ui.complain(span.Open())
	return slices.Concat(args[:1], args[2:])
}
