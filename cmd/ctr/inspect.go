package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/template"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/format"
	"ctr/images"
	"ctr/network"
	"ctr/runtime/container"
	"ctr/runtime/inspect"
	"ctr/runtime/lifecycle"
	"ctr/runtime/volume"
)

// inspectFlags are those of `inspect` in all its spellings.
func inspectFlags() []cli.Flag {
	return []cli.Flag{
		textFlag("format", `Format output ("json", or a Go template)`, "f"),
		boolFlag("size", "Display total file sizes if the type is container", "s"),
		boolFlag("verbose", "Taken for Docker's sake: all is shown without it", "v"),
	}
}

func (a *app) inspectCommand() *cli.Command {
	return &cli.Command{
		Name: "inspect", Usage: "Return low-level information on objects", ArgsUsage: "NAME|ID [NAME|ID...]",
		Description: "ctr inspect web\nctr inspect -f '{{.NetworkSettings.Networks.mynet.IPAddress}}' web",
		Flags:       append(inspectFlags(), textFlag("type", "Only inspect objects of the given type (container, image, network, volume)")),
		Action:      a.inspecting(""),
	}
}

// inspectOf is `container inspect`, `image inspect` or `network inspect`.
func (a *app) inspectOf(kind string) *cli.Command {
	name := strings.ToUpper(kind)
	return &cli.Command{
		Name: "inspect", Usage: "Display detailed information on one or more " + kind + "s", ArgsUsage: name + " [" + name + "...]",
		Description: "ctr " + kind + " inspect -f '{{json .}}' NAME", Flags: inspectFlags(), Action: a.inspecting(kind),
	}
}

func (a *app) inspecting(kind string) cli.ActionFunc {
	return func(c *cli.Context) error {
		if err := a.needArgs(c, 1, -1); err != nil {
			return err
		}
		o := inspectOptions{kind: kind, size: c.Bool("size")}
		if kind == "" {
			o.kind = c.String("type")
		}
		switch o.kind {
		case "", "container", "image", "network", "volume":
		default:
			return fmt.Errorf("unknown type: %q: must be one of \"container\", \"image\", \"network\", \"volume\"", o.kind)
		}
		if text := c.String("format"); text != "" && text != "json" {
			var err error
			if o.template, err = format.Parse(text); err != nil {
				return err
			}
		} else {
			o.compact = text == "json"
		}
		in, err := a.open()
		if err != nil {
			return err
		}
		return runInspect(c.Context, in, c.Args().Slice(), o, a.ui)
	}
}

type inspectOptions struct {
	kind     string // empty: any
	template *template.Template
	compact  bool // JSON on one line
	size     bool
}

// runInspect prints all that there is to know of objects. What is not there is said after the others; without a template the
// result is an array in any case.
func runInspect(ctx context.Context, in *lifecycle.Installation, names []string, o inspectOptions, ui *ui) error {
	f := finder{in: in, size: o.size}
	found := []any{}
	var errs []error
	var out bytes.Buffer
	for _, name := range names {
		object, err := f.find(ctx, name, o.kind)
		if err == nil && o.template != nil {
			var text []byte
			text, err = format.Execute(o.template, object)
			out.Write(text)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found = append(found, object)
	}
	if o.template == nil {
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		if !o.compact {
			e.SetIndent("", "    ")
		}
		if err := e.Encode(found); err != nil {
			return err
		}
	}
	_, err := ui.out.Write(out.Bytes())
	return errors.Join(append(errs, err)...)
}

// finder finds objects of any kind by what users call them.
type finder struct {
	in   *lifecycle.Installation
	size bool
	v    *viewer
}

func (f *finder) find(_ context.Context, name, kind string) (any, error) {
	type look struct {
		kind    string
		find    func(string) (any, error)
		missing error
	}
	for _, l := range []look{
		{"container", f.container, container.ErrNotFound},
		{"image", f.image, images.ErrNotFound},
		{"network", f.network, network.ErrNotFound},
		{"volume", f.volume, volume.ErrNotFound},
	} {
		if kind != "" && kind != l.kind {
			continue
		}
		object, err := l.find(name)
		if err == nil || kind != "" || !errors.Is(err, l.missing) && !errors.Is(err, images.ErrReference) {
			return object, err
		}
	}
	return nil, fmt.Errorf("No such object: %s", name) //nolint:staticcheck // Docker's words
}

func (f *finder) container(name string) (any, error) {
	c, err := f.in.Find(name)
	if err != nil {
		return nil, err
	}
	if f.v == nil {
		if f.v, err = newViewer(f.in); err != nil {
			return nil, err
		}
	}
	r := f.v.view(c).Inspect()
	if f.size {
		rw, all := sizes(f.in, c)
		r.SizeRw, r.SizeRootFs = &rw, &all
	}
	return r, nil
}

func (f *finder) image(name string) (any, error) {
	i, err := f.in.Images.Find(name)
	if err != nil {
		return nil, err
	}
	return inspect.Image(i, f.in.ImageSize(i)), nil
}

func (f *finder) network(name string) (any, error) {
	n, err := f.in.Networks.Find(name)
	if err != nil {
		return nil, err
	}
	users, err := f.in.Networks.Users(n.ID)
	if err != nil {
		return nil, err
	}
	all, _ := f.in.Containers.List() // what is damaged cannot be started
	return inspect.NetworkOf(n, users, all), nil
}

func (f *finder) volume(name string) (any, error) {
	v, err := f.in.Volumes.Find(name)
	if err != nil {
		return nil, err
	}
	return inspect.Volume(v), nil
}
