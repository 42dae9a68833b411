package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"ctr/runtime/lifecycle"
)

func (a *app) cpCommand() *cli.Command {
	return &cli.Command{
		Name: "cp", Usage: "Copy files/folders between a container and the local filesystem",
		ArgsUsage:   "CONTAINER:SRC_PATH|SRC_PATH|- CONTAINER:DEST_PATH|DEST_PATH|-",
		Description: "ctr cp web:/etc/nginx ./nginx\nctr cp index.html web:/srv/\ntar -c dist | ctr cp - web:/srv",
		Flags: []cli.Flag{
			boolFlag("archive", "Archive mode (copy all uid/gid information)", "a"),
			boolFlag("follow-link", "Always follow symbol link in SRC_PATH", "L"),
			boolFlag("quiet", "Suppress progress output during copy", "q"),
		},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 2, 2); err != nil {
				return err
			}
			o := cpOptions{
				CopyOptions: lifecycle.CopyOptions{Archive: c.Bool("archive"), FollowLink: c.Bool("follow-link")},
				quiet:       c.Bool("quiet") || !c.IsSet("quiet") && !a.ui.stdoutIsTerminal(),
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runCp(c.Context, in, c.Args().Get(0), c.Args().Get(1), o, a.ui)
		},
	}
}

type cpOptions struct {
	lifecycle.CopyOptions
	quiet bool
}

// runCp copies between the host and a container.
func runCp(ctx context.Context, in *lifecycle.Installation, from, to string, o cpOptions, ui *ui) error {
	fromContainer, fromPath := splitCopyPath(from)
	toContainer, toPath := splitCopyPath(to)
	switch {
	case fromPath == "" || toPath == "":
		return errors.New("a path may not be empty")
	case fromContainer != "" && toContainer != "":
		return errors.New("copying between containers is not supported")
	case fromContainer == "" && toContainer == "":
		return errors.New("must specify at least one container source")
	case fromContainer != "":
		return copyOut(ctx, in, fromContainer, fromPath, toPath, o, ui)
	}
	return copyIn(ctx, in, fromPath, toContainer, toPath, o, ui)
}

func copyOut(ctx context.Context, in *lifecycle.Installation, name, from, to string, o cpOptions, ui *ui) error {
	c, err := in.Find(name)
	if err != nil {
		return err
	}
	if to == "-" {
		if ui.stdoutIsTerminal() {
			return errors.New("cowardly refusing to write an archive to a terminal. Use a file or redirect")
		}
		w := bufio.NewWriterSize(ui.out, 256<<10)
		return errors.Join(in.ReadArchive(ctx, c, from, w, o.CopyOptions), w.Flush())
	}
	if to, err = absoluteCopyPath(to); err != nil {
		return err
	}
	if info, err := os.Stat(to); err == nil {
		if err := replaceable(info); err != nil {
			return fmt.Errorf("copy to %q: %w", to, err)
		}
	}
	n, err := in.CopyOut(ctx, c, from, to, o.CopyOptions)
	if err == nil && !o.quiet {
		ui.notice(fmt.Sprintf("Successfully copied %s to %s", units.HumanSize(float64(n)), to))
	}
	return err
}

func copyIn(ctx context.Context, in *lifecycle.Installation, from, name, to string, o cpOptions, ui *ui) error {
	c, err := in.Find(name)
	if err != nil {
		return err
	}
	if from == "-" {
		return in.WriteArchive(ctx, c, to, ui.in)
	}
	if from, err = absoluteCopyPath(from); err != nil {
		return err
	}
	n, err := in.CopyIn(ctx, c, from, to, o.CopyOptions)
	if err == nil && !o.quiet {
		ui.notice(fmt.Sprintf("Successfully copied %s to %s:%s", units.HumanSize(float64(n)), name, to))
	}
	return err
}

// splitCopyPath reads CONTAINER:PATH. A path that is absolute, or starts with a dot, is the host's, even if a colon is in it.
func splitCopyPath(arg string) (name, path string) {
	if filepath.IsAbs(arg) || strings.HasPrefix(arg, ".") {
		return "", arg
	}
	name, path, ok := strings.Cut(arg, ":")
	if !ok {
		return "", arg
	}
	return name, path
}

// absoluteCopyPath makes a path of the host absolute, and keeps what its end says: that it is a folder, or its content.
func absoluteCopyPath(path string) (string, error) {
	if filepath.IsAbs(path) {
		return path, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	return dir + "/" + path, nil
}
