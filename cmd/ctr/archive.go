package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"ctr/images"
	"ctr/runtime/events"
	"ctr/runtime/lifecycle"
)

func (a *app) loadCommand() *cli.Command {
	return &cli.Command{
		Name: "load", Usage: "Load an image from a tar archive or STDIN", Description: "ctr load -i images.tar\nctr load < images.tar",
		Flags: []cli.Flag{
			textFlag("input", "Read from tar archive file, instead of STDIN", "i"),
			boolFlag("quiet", "Suppress the load output", "q"),
		},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 0, 0); err != nil {
				return err
			}
			if c.String("input") == "" && a.ui.stdinIsTerminal() {
				return errors.New("requested load from stdin, but stdin is empty")
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runLoad(c.Context, in, c.String("input"), a.ui)
		},
	}
}

// runLoad brings in the images of an archive.
func runLoad(ctx context.Context, in *lifecycle.Installation, file string, ui *ui) error {
	r := io.Reader(ui.in)
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		r = f
	}
	loaded, err := in.Images.Load(ctx, r)
	if err != nil {
		return err
	}
	for _, l := range loaded {
		in.NotifyOf(events.Image, "load", l.ID, "name", strings.Join(l.Names, ","))
		for _, name := range l.Names {
			ui.println("Loaded image: " + name)
		}
		if len(l.Names) == 0 {
			ui.println("Loaded image ID: " + l.ID)
		}
	}
	return nil
}

func (a *app) saveCommand() *cli.Command {
	return a.archiveCommand(&cli.Command{
		Name: "save", Usage: "Save one or more images to a tar archive (streamed to STDOUT by default)", ArgsUsage: "IMAGE [IMAGE...]",
		Description: "ctr save -o images.tar busybox toolbox",
	}, -1, func(ctx context.Context, in *lifecycle.Installation, names []string) (func(io.Writer) error, error) {
		return func(w io.Writer) error { return in.Images.Save(ctx, w, names) }, nil
	})
}

// archiver finds what is named, and returns what writes it.
type archiver func(context.Context, *lifecycle.Installation, []string) (func(io.Writer) error, error)

// archiveCommand makes a command whose result is an archive, on standard output or in a file, of at most so many things.
func (a *app) archiveCommand(command *cli.Command, most int, find archiver) *cli.Command {
	command.Flags = []cli.Flag{textFlag("output", "Write to a file, instead of STDOUT", "o")}
	command.Action = func(c *cli.Context) error {
		if err := a.needArgs(c, 1, most); err != nil {
			return err
		}
		file := c.String("output")
		if file == "" && a.ui.stdoutIsTerminal() {
			return errors.New("cowardly refusing to save to a terminal. Use the -o flag or redirect")
		}
		in, err := a.open()
		if err != nil {
			return err
		}
		write, err := find(c.Context, in, c.Args().Slice())
		if err != nil {
			return err
		}
		return toFile(file, a.ui, write)
	}
	return command
}

// toFile has a result written to standard output, or to a file, which is there whole or not at all.
func toFile(file string, ui *ui, write func(io.Writer) error) (err error) {
	if file == "" {
		return write(ui.out)
	}
	if info, err := os.Stat(file); err == nil {
		if err = replaceable(info); info.IsDir() {
			err = errors.New("is a directory")
		}
		if err != nil {
			return saveError(file, err)
		}
	}
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*.tmp")
	if err != nil {
		return saveError(file, err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err == nil {
			err = saveError(file, os.Rename(f.Name(), file))
		}
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	return write(f)
}

// replaceable tells whether a file may take the place of what is there: a device or a pipe would be gone. In a folder it takes none.
func replaceable(info os.FileInfo) error {
	if !info.IsDir() && !info.Mode().IsRegular() {
		return errors.New("not a regular file; redirect the output to it instead")
	}
	return nil
}

// saveError tells of the user's file, and not of the temporary one beside it.
func saveError(file string, err error) error {
	var path *os.PathError
	var link *os.LinkError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &path):
		err = path.Err
	case errors.As(err, &link):
		err = link.Err
	}
	return fmt.Errorf("save to %q: %w", file, err)
}

func (a *app) importCommand() *cli.Command {
	return &cli.Command{
		Name: "import", Usage: "Import the contents from a tarball to create a filesystem image", ArgsUsage: "file|URL|- [REPOSITORY[:TAG]]",
		Description: "ctr import rootfs.tar.gz base\ntar -C rootfs -c . | ctr import --change 'CMD [\"sh\"]' - base:1",
		Flags: []cli.Flag{
			listFlag("change", "Apply Dockerfile instruction to the created image", "c"),
			textFlag("message", "Set commit message for imported image", "m"),
			textFlag("platform", "Set platform"),
		},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 1, 2); err != nil {
				return err
			}
			o := images.ImportOptions{Changes: c.StringSlice("change"), Message: c.String("message"), Platform: c.String("platform")}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runImport(c.Context, in, c.Args().First(), c.Args().Get(1), o, a.ui)
		},
	}
}

// runImport makes an image from the tar of a root file system.
func runImport(ctx context.Context, in *lifecycle.Installation, source, ref string, o images.ImportOptions, ui *ui) error {
	r, err := openSource(ctx, source, ui)
	if err != nil {
		return err
	}
	defer r.Close()
	i, err := in.Images.Import(ctx, r, ref, o)
	if err != nil {
		return err
	}
	in.NotifyOf(events.Image, "import", i.ID, "name", ref)
	ui.println(i.ID)
	return nil
}

// openSource opens a file, a URL, or standard input for "-".
func openSource(ctx context.Context, source string, ui *ui) (io.ReadCloser, error) {
	switch {
	case source == "":
		return nil, errors.New("import: the file's name is empty")
	case source == "-":
		return io.NopCloser(ui.in), nil
	case strings.HasPrefix(source, "http://"), strings.HasPrefix(source, "https://"):
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusOK {
			resp.Body.Close()
			return nil, fmt.Errorf("get %s: %s", source, resp.Status)
		}
		return resp.Body, nil
	}
	return os.Open(source)
}
