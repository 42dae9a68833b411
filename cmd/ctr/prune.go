package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/options"
	"ctr/images"
	"ctr/internal/durable"
	"ctr/network"
	"ctr/rootfs"
	"ctr/runtime/container"
	"ctr/runtime/events"
	"ctr/runtime/lifecycle"
)

// pruneFilter is --filter of the prune commands.
type pruneFilter struct {
	filters
	until time.Time // only what is older; zero: everything
}

func parsePruneFilter(texts, more []string, now time.Time) (p pruneFilter, err error) {
	if p.filters, err = parseFilters(texts, append([]string{"label", "label!", "until"}, more...)); err != nil {
		return p, err
	}
	if len(p.filters["until"]) > 1 {
		return p, errors.New("more than one until filter specified")
	}
	for _, text := range p.filters["until"] {
		if p.until, err = options.Time(text, now); err != nil {
			return p, fmt.Errorf("invalid filter 'until=%s': %w", text, err)
		}
	}
	return p, nil
}

func (p pruneFilter) takes(created time.Time, labels map[string]string) bool {
	unwanted := slices.ContainsFunc(p.filters["label!"], func(text string) bool { return filters{"label": {text}}.labels(labels) })
	return p.labels(labels) && !unwanted && (p.until.IsZero() || created.Before(p.until))
}

// pruner removes what is not used, and counts what that gives back.
type pruner struct {
	in        *lifecycle.Installation
	ui        *ui
	filter    pruneFilter
	reclaimed int64
	counts    bool // what it removes takes space
	errs      []error
}

// pruneCommand is one `prune`; warning says what it will remove.
func (a *app) pruneCommand(usage, example string, flags []cli.Flag, filters []string, warning func(*cli.Context) string, do func(context.Context, *cli.Context, *pruner)) *cli.Command {
	return &cli.Command{
		Name: "prune", Usage: usage, Description: example,
		Flags: append(flags, boolFlag("force", "Do not prompt for confirmation", "f"), listFlag("filter", `Provide filter values (e.g. "until=24h", "label=NAME")`)),
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 0, 0); err != nil {
				return err
			}
			filter, err := parsePruneFilter(c.StringSlice("filter"), filters, time.Now())
			if err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			if !c.Bool("force") && !a.ui.confirm(warning(c)+"\nAre you sure you want to continue?") {
				return nil
			}
			p := &pruner{in: in, ui: a.ui, filter: filter, counts: true}
			do(c.Context, c, p)
			if p.counts {
				a.ui.printf("Total reclaimed space: %s\n", units.HumanSize(float64(p.reclaimed)))
			}
			return errors.Join(p.errs...)
		},
	}
}

func warn(text string) func(*cli.Context) string {
	return func(*cli.Context) string { return "WARNING! This will remove " + text + "." }
}

func (a *app) containerPruneCommand() *cli.Command {
	return a.pruneCommand("Remove all stopped containers", "ctr container prune -f --filter until=24h", nil, nil, warn("all stopped containers"),
		func(ctx context.Context, _ *cli.Context, p *pruner) { p.containers(ctx) })
}

func (a *app) imagePruneCommand() *cli.Command {
	flags := []cli.Flag{boolFlag("all", "Remove all unused images, not just dangling ones", "a")}
	warning := func(c *cli.Context) string {
		if c.Bool("all") {
			return "WARNING! This will remove all images without at least one container associated to them."
		}
		return "WARNING! This will remove all dangling images."
	}
	return a.pruneCommand("Remove unused images", "ctr image prune -a -f", flags, []string{"dangling"}, warning,
		func(ctx context.Context, c *cli.Context, p *pruner) {
			dangling, err := p.filter.boolean("dangling")
			if err != nil {
				p.errs = append(p.errs, err)
				return
			}
			p.images(ctx, c.Bool("all") || dangling != nil && !*dangling)
		})
}

func (a *app) networkPruneCommand() *cli.Command {
	return a.pruneCommand("Remove all unused networks", "ctr network prune -f", nil, nil, warn("all custom networks not used by at least one container"),
		func(ctx context.Context, _ *cli.Context, p *pruner) {
			p.counts = false
			p.networks(ctx)
		})
}

func (a *app) volumePruneCommand() *cli.Command {
	flags := []cli.Flag{boolFlag("all", "Remove all unused volumes, not just anonymous ones", "a")}
	warning := func(c *cli.Context) string {
		if c.Bool("all") {
			return "WARNING! This will remove all local volumes not used by at least one container."
		}
		return "WARNING! This will remove anonymous local volumes not used by at least one container."
	}
	return a.pruneCommand("Remove unused local volumes", "ctr volume prune -a -f", flags, []string{"all"}, warning,
		func(_ context.Context, c *cli.Context, p *pruner) {
			all, err := p.filter.boolean("all")
			if err != nil {
				p.errs = append(p.errs, err)
				return
			}
			p.volumes(c.Bool("all") || all != nil && *all)
		})
}

func (a *app) systemPruneCommand() *cli.Command {
	flags := []cli.Flag{
		boolFlag("all", "Remove all unused images not just dangling ones", "a"),
		boolFlag("volumes", "Prune anonymous volumes"),
	}
	warning := func(c *cli.Context) string {
		lines := []string{"WARNING! This will remove:", "  - all stopped containers", "  - all networks not used by at least one container"}
		if c.Bool("volumes") {
			lines = append(lines, "  - all anonymous volumes not used by at least one container")
		}
		if c.Bool("all") {
			return strings.Join(append(lines, "  - all images without at least one container associated to them"), "\n") + "\n"
		}
		return strings.Join(append(lines, "  - all dangling images"), "\n") + "\n"
	}
	return a.pruneCommand("Remove unused data", "ctr system prune -a --volumes -f", flags, nil, warning,
		func(ctx context.Context, c *cli.Context, p *pruner) {
			p.containers(ctx)
			if c.Bool("volumes") {
				p.volumes(false)
			}
			p.networks(ctx)
			p.images(ctx, c.Bool("all"))
		})
}

// list prints what went, under a heading.
func (p *pruner) list(heading string, gone []string) {
	if len(gone) == 0 {
		return
	}
	p.ui.printf("%s\n%s\n", heading, strings.Join(gone, "\n"))
	if p.counts {
		p.ui.println("")
	}
}

// containers removes those that do not run.
func (p *pruner) containers(ctx context.Context) {
	all, broken := p.in.Containers.List()
	p.errs = append(p.errs, broken...)
	var gone []string
	for _, c := range all {
		if c.State().Active() || !p.filter.takes(c.Created, c.Labels) {
			continue
		}
		size := rootfs.Usage(c.UpperDir())
		err := p.in.Remove(ctx, c, lifecycle.RemoveOptions{})
		switch {
		case errors.Is(err, container.ErrRunning), errors.Is(err, container.ErrNotFound): // started or removed meanwhile
		case err != nil:
			p.errs = append(p.errs, err)
		default:
			gone, p.reclaimed = append(gone, c.ID), p.reclaimed+size
		}
	}
	p.list("Deleted Containers:", gone)
}

// networks removes those that no running container is on.
func (p *pruner) networks(ctx context.Context) {
	sweep(p.in, p.ui)
	all, err := p.in.Networks.List()
	if err != nil {
		p.errs = append(p.errs, err)
		if !errors.Is(err, durable.ErrDamaged) {
			return
		}
	}
	var gone []string
	for _, n := range all {
		if predefined(n.Name) || n.ConfigOnly || !p.filter.takes(n.Created, n.Labels) {
			continue
		}
		err := p.in.Networks.Remove(ctx, n.ID)
		switch {
		case errors.Is(err, network.ErrInUse), errors.Is(err, network.ErrNotFound):
		case err != nil:
			p.errs = append(p.errs, err)
		default:
			p.in.NotifyOf(events.Network, "destroy", n.ID, "name", n.Name, "type", n.Driver)
			gone = append(gone, n.Name)
		}
	}
	p.list("Deleted Networks:", gone)
}

// volumes removes those that no container has: all of them, or the anonymous ones.
func (p *pruner) volumes(named bool) {
	all, err := p.in.Volumes.List()
	if err != nil {
		p.errs = append(p.errs, err)
		return
	}
	var gone []string
	for _, v := range all {
		if !named && !v.Anonymous || !p.filter.takes(v.Created, v.Labels) {
			continue
		}
		size := rootfs.Usage(v.Path())
		err := p.in.RemoveVolume(v.Name)
		var inUse *lifecycle.VolumeInUseError
		switch {
		case errors.As(err, &inUse):
		case err != nil:
			p.errs = append(p.errs, err)
		default:
			gone, p.reclaimed = append(gone, v.Name), p.reclaimed+size
		}
	}
	p.list("Deleted Volumes:", gone)
}

// images removes those that no container was made from: all of them, or those without a name.
func (p *pruner) images(ctx context.Context, named bool) {
	all, err := p.in.Images.List()
	if err != nil {
		p.errs = append(p.errs, err)
		return
	}
	users := imageUsers(p.in)
	var gone []string
	for _, i := range all {
		if !named && len(i.Names) > 0 || len(users(i.ID)) > 0 || !p.filter.takes(i.Created, i.Config.Config.Labels) {
			continue
		}
		removed, err := p.in.Images.Remove(ctx, i.ID, true, users)
		if err != nil && !errors.Is(err, images.ErrConflict) && !errors.Is(err, images.ErrNotFound) {
			p.errs = append(p.errs, err)
		}
		for _, r := range removed {
			if r.Untagged != "" {
				gone = append(gone, "untagged: "+r.Untagged)
			}
			if r.Deleted != "" {
				gone, p.reclaimed = append(gone, "deleted: "+r.Deleted), p.reclaimed+p.sizeOf(i, r.Chains)
				p.in.NotifyOf(events.Image, "delete", r.Deleted, "name", r.Deleted)
				p.errs = append(p.errs, removeLayers(p.in, r.Chains))
			}
		}
	}
	p.errs = slices.DeleteFunc(p.errs, func(err error) bool { return err == nil })
	p.list("Deleted Images:", gone)
}

// sizeOf is how many bytes those of an image's layers take that go with it.
func (p *pruner) sizeOf(i images.Image, chains []string) int64 {
	i.Layers = slices.DeleteFunc(slices.Clone(i.Layers), func(l images.Layer) bool { return !slices.Contains(chains, l.ChainID) })
	return p.in.ImageSize(i)
}
