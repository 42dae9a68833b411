package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"ctr/runtime/container"
)

func (a *app) completionCommand() *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "Print the completion script of a shell", ArgsUsage: "bash|zsh|fish",
		Description: "source <(ctr completion bash)\nctr completion fish > ~/.config/fish/completions/ctr.fish",
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 1, 1); err != nil {
				return err
			}
			script, ok := completionScripts[c.Args().First()]
			if !ok {
				return &usageError{fmt.Sprintf("unknown shell %q: want bash, zsh or fish", c.Args().First()), codeFailed}
			}
			a.ui.printf("%s", script)
			return nil
		},
	}
}

// The scripts ask this program for the words that fit. A word that the program does not know about is a file's name.
var completionScripts = map[string]string{
	"bash": `_ctr() {
	local IFS=$'\n'
	COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _ctr ctr
`,
	"zsh": `#compdef ctr
_ctr() {
	local -a found
	found=("${(@f)$("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	found=(${found:#})
	if (( ${#found} )); then compadd -- $found; else _files; fi
}
if [ "$funcstack[1]" = _ctr ]; then _ctr; else compdef _ctr ctr; fi
`,
	"fish": `function __ctr_complete
	set -l words (commandline -opc) (commandline -ct)
	command $words[1] __complete -- $words[2..-1] 2>/dev/null
end
complete -c ctr -f -a '(__ctr_complete)'
complete -c ctr -n 'test (count (__ctr_complete)) -eq 0' -F
`,
}

// completeCommand prints the words that may stand where the last of its arguments stands.
func (a *app) completeCommand() *cli.Command {
	return &cli.Command{
		Name: "__complete", Hidden: true, ArgsUsage: "[ARG...]",
		Action: func(c *cli.Context) error {
			for _, w := range a.complete(c.Args().Slice()) {
				a.ui.println(w)
			}
			return nil
		},
	}
}

// complete finds the words that fit in place of the last one, which may be empty.
func (a *app) complete(words []string) []string {
	if len(words) == 0 {
		return nil
	}
	last, before := words[len(words)-1], words[:len(words)-1]
	flags, commands := a.cli.Flags, a.cli.Commands
	var path []string
	var usage string
	arguments := 0
	for i := 0; i < len(before); i++ {
		word := before[i]
		switch {
		case strings.HasPrefix(word, "-") && len(word) > 1 && arguments == 0:
			f := (&splitter{flags: flags}).lookup(strings.TrimLeft(word, "-"))
			if f == nil || isBool(f) || strings.Contains(word, "=") {
				continue
			}
			if i == len(before)-1 { // the value of this flag
				return withPrefix(a.valuesOf(path, f.Names()[0]), last)
			}
			i++
		case len(commands) > 0:
			c := find(commands, word)
			if c == nil {
				return nil
			}
			path = append(path, c.Name)
			flags, commands, usage = c.Flags, c.Subcommands, c.ArgsUsage
		default:
			arguments++
		}
	}
	switch {
	case strings.HasPrefix(last, "-") && (arguments == 0 || !strings.HasSuffix(usage, "[ARG...]")):
		return withPrefix(flagNames(flags), last)
	case len(commands) > 0:
		var names []string
		for _, c := range commands {
			if !c.Hidden {
				names = append(names, c.Name)
			}
		}
		return withPrefix(names, last)
	}
	return withPrefix(a.argumentsOf(path, usage, arguments), last)
}

func flagNames(flags []cli.Flag) []string {
	names := []string{"--help"}
	for _, f := range flags {
		names = append(names, "--"+f.Names()[0])
	}
	return names
}

// argumentsOf are the names that the n-th argument of a command may be, by the words of its usage.
func (a *app) argumentsOf(path []string, usage string, n int) []string {
	kinds := strings.Fields(usage)
	if len(kinds) == 0 {
		return nil
	}
	kind := kinds[min(n, len(kinds)-1)]
	switch {
	case strings.Contains(kind, "|") && strings.HasPrefix(kind, "bash"):
		return []string{"bash", "zsh", "fish"}
	case strings.Contains(kind, "NAME|ID"):
		return slices.Concat(a.containerNames(), a.imageNames(), a.networkNames(), a.volumeNames())
	case strings.Contains(kind, "CONTAINER:"):
		names := a.containerNames()
		for i := range names {
			names[i] += ":"
		}
		return names
	case strings.Contains(kind, "CONTAINER"), slices.Equal(path, []string{"dns"}):
		return a.containersFor(path)
	case strings.Contains(kind, "IMAGE"), strings.Contains(kind, "REPOSITORY"), slices.Equal(path, []string{"pull"}):
		return a.imageNames()
	case strings.Contains(kind, "VOLUME") && !slices.Contains(path, "create"):
		return a.volumeNames()
	case strings.Contains(kind, "NETWORK") && !slices.Contains(path, "create"):
		return a.networkNames()
	}
	return nil
}

// valuesOf are the words that a flag's value may be.
func (a *app) valuesOf(path []string, flag string) []string {
	switch flag {
	case "signal", "stop-signal":
		return []string{"HUP", "INT", "KILL", "QUIT", "TERM", "USR1", "USR2", "WINCH"}
	case "volume":
		return a.volumeNames()
	case "log-driver":
		return []string{"journald", "json-file", "none"}
	case "network":
		return slices.Concat(a.networkNames(), []string{"bridge", "host", "none"}, a.joined())
	case "pid", "ipc", "uts":
		return append(a.joined(), "host")
	case "volumes-from":
		return a.containerNames()
	case "pull":
		return []string{"always", "missing", "never"}
	case "restart":
		return []string{"no", "on-failure", "always", "unless-stopped"}
	case "driver":
		if slices.Contains(path, "volume") {
			return []string{"local"}
		}
		return []string{"bridge", "macvlan", "ipvlan"}
	case "type":
		return []string{"container", "image", "network", "volume"}
	}
	return nil
}

func (a *app) joined() []string {
	names := a.containerNames()
	for i := range names {
		names[i] = "container:" + names[i]
	}
	return names
}

func (a *app) containerNames() []string {
	return a.containers(func(*container.Container) bool { return true })
}

// containersFor are the names of those that a command can do something with: there is no use in stopping what does not run.
func (a *app) containersFor(path []string) []string {
	is := func(wanted ...container.Status) []string {
		return a.containers(func(c *container.Container) bool { return slices.Contains(wanted, c.State().Status) })
	}
	switch path[len(path)-1] {
	case "attach", "dns", "exec", "pause", "top":
		return is(container.Running)
	case "kill", "stop":
		return is(container.Running, container.Paused, container.Restarting)
	case "unpause":
		return is(container.Paused)
	case "start":
		return is(container.Created, container.Exited)
	}
	return a.containerNames()
}

func (a *app) containers(keep func(*container.Container) bool) []string {
	in, err := a.open()
	if err != nil {
		return nil
	}
	all, _ := in.Containers.List()
	var names []string
	for _, c := range all {
		if keep(c) {
			names = append(names, c.Name)
		}
	}
	return names
}

func (a *app) imageNames() []string {
	in, err := a.open()
	if err != nil {
		return nil
	}
	all, err := in.Images.List()
	if err != nil {
		return nil
	}
	var names []string
	for _, i := range all {
		names = append(names, i.Names...)
	}
	return names
}

func (a *app) networkNames() []string {
	in, err := a.open()
	if err != nil {
		return nil
	}
	all, err := in.Networks.List()
	if err != nil {
		return nil
	}
	var names []string
	for _, n := range all {
		names = append(names, n.Name)
	}
	return names
}

func withPrefix(words []string, prefix string) []string {
	words = slices.DeleteFunc(words, func(w string) bool { return !strings.HasPrefix(w, prefix) })
	slices.Sort(words)
	return slices.Compact(words)
}
