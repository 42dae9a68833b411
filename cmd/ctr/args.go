package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// commandLine is a command line in the order that urfave/cli wants: the flags of each command first, each as --name=value,
// then "--" and the arguments.
type commandLine struct {
	args []string
	path []*cli.Command // the command, with the one that groups it
	help bool
}

// name is the command's name; that of `container run` is "run", of `network ls` "network ls".
func (l commandLine) name() string {
	var words []string
	for i, c := range l.path {
		if i == 0 && len(l.path) > 1 && (c.Name == "container") {
			continue
		}
		words = append(words, c.Name)
	}
	return strings.Join(words, " ")
}

// arrange reads a command line by the rules of the docker command, which are those of getopt_long(3): -it is -i -t, -p80:80
// is -p 80:80, flags may follow arguments. The exceptions are commands that run a program: there, everything after the first
// argument belongs to the program. It returns a *usageError for what no command takes.
func arrange(app *cli.App, args []string) (commandLine, error) {
	l := commandLine{args: args[:1:1]}
	flags, commands, rest := app.Flags, app.Commands, args[1:]
	for {
		leaf := len(commands) == 0
		s := splitter{flags: flags, stop: !leaf || len(l.path) > 0 && runsProgram(l.path[len(l.path)-1])}
		if err := s.split(rest); err != nil {
			return l, err
		}
		l.args = append(l.args, s.options...)
		if s.help {
			l.help = true
			return l, nil
		}
		if leaf {
			l.args = append(append(l.args, "--"), s.positional...)
			return l, nil
		}
		if len(s.positional) == 0 {
			l.help = len(l.path) > 0
			return l, nil
		}
		word := s.positional[0]
		if word == "help" {
			l.help = true
			return l, l.descend(commands, s.positional[1:])
		}
		command := find(commands, word)
		if command == nil {
			return l, &usageError{strings.TrimSpace("unknown command: ctr " + strings.TrimSpace(l.spelled()+" "+word)), codeFailed}
		}
		l.path = append(l.path, command)
		l.args = append(l.args, command.Name)
		flags, commands, rest = command.Flags, command.Subcommands, s.positional[1:]
	}
}

// spelled is the command as it was typed.
func (l commandLine) spelled() string {
	var words []string
	for _, c := range l.path {
		words = append(words, c.Name)
	}
	return strings.Join(words, " ")
}

// descend finds the command that `help` is asked about.
func (l *commandLine) descend(commands []*cli.Command, words []string) error {
	for _, word := range words {
		c := find(commands, word)
		if c == nil {
			return &usageError{"unknown command: ctr " + strings.TrimSpace(l.spelled()+" "+word), codeFailed}
		}
		l.path = append(l.path, c)
		commands = c.Subcommands
	}
	return nil
}

func find(commands []*cli.Command, word string) *cli.Command {
	for _, c := range commands {
		if c.HasName(word) {
			return c
		}
	}
	return nil
}

// runsProgram tells whether what follows a command's first argument is a program's: its usage says so.
func runsProgram(c *cli.Command) bool { return strings.HasSuffix(c.ArgsUsage, "[ARG...]") }

// splitter separates the flags of one command from its arguments.
type splitter struct {
	flags []cli.Flag
	stop  bool // at the first argument

	options    []string // --name=value
	positional []string
	help       bool
}

func (s *splitter) split(args []string) error {
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		var err error
		switch {
		case word == "--":
			s.positional = append(s.positional, args...)
			return nil
		case strings.HasPrefix(word, "--"):
			args, err = s.long(word[2:], args)
		case len(word) > 1 && word[0] == '-':
			args, err = s.short(word[1:], args)
		default:
			s.positional = append(s.positional, word)
			if s.stop {
				s.positional = append(s.positional, args...)
				return nil
			}
		}
		if err != nil || s.help {
			return err
		}
	}
	return nil
}

// lookup finds a flag by one of its names.
func (s *splitter) lookup(name string) cli.Flag {
	for _, f := range s.flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func isBool(f cli.Flag) bool {
	_, ok := f.(*cli.BoolFlag)
	return ok
}

func (s *splitter) add(f cli.Flag, value string) {
	s.options = append(s.options, "--"+f.Names()[0]+"="+value)
}

// long takes one --name[=value]; args are the words after it.
func (s *splitter) long(word string, args []string) ([]string, error) {
	name, value, hasValue := strings.Cut(word, "=")
	f := s.lookup(name)
	if name == "help" && f == nil {
		s.help = true
		return args, nil
	}
	if f == nil || len(name) < 2 {
		return nil, &usageError{"unknown flag: --" + name, codeRefused}
	}
	switch {
	case hasValue:
	case isBool(f):
		value = "true"
	case len(args) == 0:
		return nil, &usageError{"flag needs an argument: --" + name, codeRefused}
	default:
		value, args = args[0], args[1:]
	}
	s.add(f, value)
	return args, nil
}

// short takes -abc, where the last one may have a value; args are the words after it.
func (s *splitter) short(word string, args []string) ([]string, error) {
	whole := word
	for word != "" {
		name := word[:1]
		word = word[1:]
		f := s.lookup(name)
		switch {
		case f == nil && name == "h":
			s.help = true
			return args, nil
		case f == nil:
			return nil, &usageError{fmt.Sprintf("unknown shorthand flag: '%s' in -%s", name, whole), codeRefused}
		case isBool(f) && strings.HasPrefix(word, "="):
			s.add(f, word[1:])
			return args, nil
		case isBool(f):
			s.add(f, "true")
		case word != "":
			s.add(f, strings.TrimPrefix(word, "="))
			return args, nil
		case len(args) == 0:
			return nil, &usageError{fmt.Sprintf("flag needs an argument: '%s' in -%s", name, whole), codeRefused}
		default:
			s.add(f, args[0])
			return args[1:], nil
		}
	}
	return args, nil
}
