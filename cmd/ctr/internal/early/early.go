// Package early does what a command that starts a program can have begun before the rest of the binary is initialised: that
// takes 3 ms, and much of a start is waiting. It depends on packages that need the standard library alone, and is itself
// initialised as soon as that is (spec "Package initialization": of the packages that are ready, the first by path).
package early

import (
	"os"
	"strings"

	"ctr/runtime/monitor/standby"
	"ctr/runtime/prewarm"
)

func init() {
	switch command(os.Args) {
	case "run", "start":
		var words []string
		if ownNetwork(os.Args) {
			words = []string{standby.OwnNetwork}
		}
		standby.Prepare(words...)
		prewarm.Start(0, nil)
	case "restart", "exec":
		prewarm.Start(0, nil)
	}
}

// command returns the first word of the command line that is no flag of ctr's own, as far as can be told without knowing
// those: nothing depends on it but how long a start takes.
func command(args []string) string {
	for i := 1; i < len(args); i++ {
		switch word := args[i]; {
		case word == "--root", word == "--run-root":
			i++ // its value
		case word == "container", word != "" && word[0] == '-':
		default:
			return word
		}
	}
	return ""
}

// ownNetwork tells whether no option asks for the network namespace of somebody else.
func ownNetwork(args []string) bool {
	for i, word := range args {
		name, value, ok := strings.Cut(word, "=")
		if name != "--network" && name != "--net" {
			continue
		}
		if !ok && i+1 < len(args) {
			value = args[i+1]
		}
		if value == "host" || strings.HasPrefix(value, "container:") || strings.HasPrefix(value, "ns:") {
			return false
		}
	}
	return true
}
