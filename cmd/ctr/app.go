package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"ctr/internal/span"
	"ctr/runtime/installation"
	"ctr/runtime/lifecycle"
)

// app is what all commands share: whom they talk to and which installation they work on.
type app struct {
	ui    *ui
	roots lifecycle.Roots
	cli   *cli.App
	path  string // the command, as it was typed

	reading span.Span // of the command line
}

func newApp(ui *ui) *app {
	a := &app{ui: ui}
	a.cli = &cli.App{
		Name:                      "ctr",
		Usage:                     "Run containers, with their namespaces and networks, without a daemon",
		Commands:                  a.commands(),
		HideHelp:                  true,
		HideVersion:               true,
		DisableSliceFlagSeparator: true, // -e A=1,2 is one variable
		Writer:                    io.Discard,
		ErrWriter:                 io.Discard,
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              onUsageError,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "root", EnvVars: []string{"CTR_ROOT"}, Value: installation.DefaultData, Usage: "Folder of images and containers"},
			&cli.StringFlag{Name: "run-root", EnvVars: []string{"CTR_RUN_ROOT"}, Value: installation.DefaultRun, Usage: "Folder of what names live kernel objects"},
			&cli.BoolFlag{Name: "debug", Aliases: []string{"D"}, Usage: "Show all of an error"},
			&cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "Print version information and quit"},
		},
		Before: func(c *cli.Context) error {
			a.roots = lifecycle.Roots{Data: c.String("root"), Run: c.String("run-root")}
			return nil
		},
		Action: func(c *cli.Context) error {
			if c.Bool("version") {
				ui.printf("ctr version %s, build %s\n", version, commit)
				return nil
			}
			a.help(nil)
			return nil
		},
	}
	for _, c := range a.cli.Commands {
		prepare(c)
	}
	return a
}

// prepare sets what all commands have in common.
func prepare(c *cli.Command) {
	c.HideHelp = true
	c.OnUsageError = onUsageError
	c.UseShortOptionHandling = false // arrange has done it
	for _, sub := range c.Subcommands {
		prepare(sub)
	}
}

// run runs a command line. It returns the name of the command, without its management spelling, and its error.
func (a *app) run(ctx context.Context, args []string) (path string, err error) {
	line, err := arrange(a.cli, args)
	a.path = line.spelled()
	if err != nil {
		return line.name(), err
	}
	if line.help {
		a.help(line.path)
		return line.name(), nil
	}
	a.cli.Flags = withNames(a.cli.Flags)
	for _, c := range line.path {
		c.Flags = withNames(c.Flags)
	}
	return line.name(), a.cli.RunContext(ctx, line.args)
}

// onUsageError words what the flag package says of a value in Docker's way. Unknown flags do not come here.
func onUsageError(_ *cli.Context, err error, _ bool) error {
	text := err.Error()
	// invalid value "x" for flag -stop-timeout: parse error
	rest, ok := strings.CutPrefix(text, "invalid value ")
	if !ok {
		if rest, ok = strings.CutPrefix(text, "invalid boolean value "); !ok {
			return &usageError{text, codeRefused}
		}
	}
	value, rest, _ := strings.Cut(rest, " for ")
	flag, reason, _ := strings.Cut(strings.TrimPrefix(rest, "flag "), ": ")
	return &usageError{fmt.Sprintf("invalid argument %s for \"--%s\" flag: %s", value, strings.TrimLeft(flag, "-"), reason), codeRefused}
}

// open opens the installation. All commands but a few need it, and it takes root.
func (a *app) open() (*lifecycle.Installation, error) {
	if os.Geteuid() != 0 {
		return nil, errNotRoot
	}
	a.reading.End()
	defer span.Begin("open installation").End()
	in, err := lifecycle.Open(a.roots)
	if err != nil {
		return nil, err
	}
	in.Tell = func(text string) { a.ui.notice("ctr: " + text) }
	return in, nil
}

var errNotRoot = &hintedError{errors.New("namespaces, mounts and networks need root"), "run it with sudo"}

// hintedError is an error with advice.
type hintedError struct {
	error
	hint string
}

// Hint returns the advice.
func (e *hintedError) Hint() string { return e.hint }

// Unwrap returns the error.
func (e *hintedError) Unwrap() error { return e.error }

// needArgs checks how many arguments a command got; most is -1 for any number.
func (a *app) needArgs(c *cli.Context, least, most int) error {
	n := c.NArg()
	if n >= least && (most < 0 || n <= most) {
		return nil
	}
	var want string
	switch {
	case most == 0:
		want = "accepts no arguments"
	case least == most:
		want = fmt.Sprintf("requires %d argument%s", least, plural(least))
	case most < 0 || n < least:
		want = fmt.Sprintf("requires at least %d argument%s", least, plural(least))
	default:
		want = fmt.Sprintf("requires at most %d argument%s", most, plural(most))
	}
	return &usageError{fmt.Sprintf("'ctr %s' %s", a.path, want), codeFailed}
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// each does f for all of names, goes on past errors, and prints the name of each that went well.
func each(ui *ui, names []string, f func(name string) error) error {
	var errs []error
	for _, name := range names {
		if err := f(name); err != nil {
			errs = append(errs, err)
			continue
		}
		ui.println(name)
	}
	return errors.Join(errs...)
}

// management is a command that only groups others.
func management(name, usage string, commands ...*cli.Command) *cli.Command {
	return &cli.Command{Name: name, Usage: usage, ArgsUsage: "COMMAND", Subcommands: commands}
}

// renamed is a command under another name: `ps` is `container ls` too.
func renamed(c *cli.Command, name string, aliases ...string) *cli.Command {
	other := *c
	other.Name, other.Aliases = name, aliases
	return &other
}

// commands are all commands; those of the management spelling are the same values.
func (a *app) commands() []*cli.Command {
	var (
		attach, create, exec, kill, logs = a.attachCommand(), a.createCommand(), a.execCommand(), a.killCommand(), a.logsCommand()
		port, ps, rename, rm, run        = a.portCommand(), a.psCommand(), a.renameCommand(), a.rmCommand(), a.runCommand()
		start, stop, wait                = a.startCommand(), a.stopCommand(), a.waitCommand()
		pause, unpause, restart          = a.pauseCommand(), a.unpauseCommand(), a.restartCommand()
		images, importImage, load, pull  = a.imagesCommand(), a.importCommand(), a.loadCommand(), a.pullCommand()
		rmi, save, tag                   = a.rmiCommand(), a.saveCommand(), a.tagCommand()
		info                             = a.infoCommand()
		commit, cp, diff, export         = a.commitCommand(), a.cpCommand(), a.diffCommand(), a.exportCommand()
		history                          = a.historyCommand()
		events, stats, top, update       = a.eventsCommand(), a.statsCommand(), a.topCommand(), a.updateCommand()
	)
	all := []*cli.Command{
		run, create, start, stop, restart, kill, pause, unpause, rm, rename, exec, attach, ps, logs, wait, port, cp, diff, export, commit, top, stats, events, update,
		a.inspectCommand(), pull, images, history, rmi, load, importImage, save, tag, info, a.versionCommand(), a.dnsCommand(), a.completionCommand(), a.completeCommand(), a.manCommand(),
		management("container", "Manage containers", run, create, start, stop, restart, kill, pause, unpause, renamed(rm, "rm", "remove"), rename,
			exec, attach, renamed(ps, "ls", "list", "ps"), logs, wait, port, cp, diff, export, commit, top, stats, update, a.inspectOf("container"), a.containerPruneCommand()),
		management("image", "Manage images", pull, renamed(images, "ls", "list"), history, renamed(rmi, "rm", "remove"), load, importImage, save, tag,
			a.inspectOf("image"), a.imagePruneCommand()),
		management("network", "Manage networks", a.networkCreateCommand(), a.networkLsCommand(), a.inspectOf("network"), a.networkRmCommand(),
			a.networkConnectCommand(), a.networkDisconnectCommand(),
			a.networkPruneCommand(), a.networkCheckCommand(), a.networkRepairCommand()),
		management("volume", "Manage volumes", a.volumeCreateCommand(), a.inspectOf("volume"), a.volumeLsCommand(), a.volumePruneCommand(), a.volumeRmCommand()),
		management("system", "Manage the installation", a.systemDfCommand(), a.systemPruneCommand(), renamed(info, "info"), events, a.systemResetCommand(), a.systemRestoreCommand()),
	}
	slices.SortStableFunc(all, func(x, y *cli.Command) int {
		return strings.Compare(groupOf(x), groupOf(y))
	})
	return all
}

// groupOf sorts the commands that group others behind the others.
func groupOf(c *cli.Command) string {
	if len(c.Subcommands) > 0 {
		return "management"
	}
	return ""
}
