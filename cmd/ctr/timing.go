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

// startsPrograms tells whether the command line starts a program in a container, as far as its first word tells.
func startsPrograms(args []string) bool {
	return len(args) > 1 && slices.Contains([]string{"run", "start", "restart", "exec"}, args[1])
}
