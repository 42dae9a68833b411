package main

import (
	"slices"

	"github.com/urfave/cli/v2"
)

// urfave/cli computes a flag's names by a regular expression whenever it is asked for them, which it asks itself for each flag of
// a command and each of its names: 4 of the 7 ms that `run`, with its 80 flags, took to read its command line. These flags know
// their names.
type (
	namedFlag struct {
		cli.Flag
		names []string
	}
	// namedList keeps the methods of a list, by which it is told not to take apart values at commas.
	namedList struct {
		*cli.StringSliceFlag
		names []string
	}
)

// Names returns the flag's names.
func (f namedFlag) Names() []string { return f.names }

// Names returns the flag's names.
func (f namedList) Names() []string { return f.names }

// withNames returns flags that know their names. Nothing may look at their types any more.
func withNames(flags []cli.Flag) []cli.Flag {
	named := slices.Clone(flags)
	for i, f := range flags {
		switch f := f.(type) {
		case *cli.StringSliceFlag:
			named[i] = namedList{f, f.Names()}
		default:
			named[i] = namedFlag{f, f.Names()}
		}
	}
	return named
}
