package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/options"
	"ctr/network"
	"ctr/runtime/lifecycle"
)

func (a *app) portCommand() *cli.Command {
	return &cli.Command{
		Name: "port", Usage: "List port mappings or a specific mapping for the container, or change them", ArgsUsage: "CONTAINER [PRIVATE_PORT[/PROTO]]",
		Description: "ctr port web\nctr port web 80\nctr port --add 8080:80 web\nctr port --rm 8080:80 web",
		Flags: []cli.Flag{
			listFlag("add", "Publish one more port, also while the container runs ([IP:][HOST:]CONTAINER[/PROTO])"),
			listFlag("rm", "Publish a port no more, also while the container runs ([IP:][HOST:]CONTAINER[/PROTO])"),
		},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 1, 2); err != nil {
				return err
			}
			if c.IsSet("add") || c.IsSet("rm") {
				return a.changePorts(c)
			}
			var only *network.Expose
			if text := c.Args().Get(1); text != "" {
				p, err := options.TargetPort(text)
				if err != nil {
					return err
				}
				only = &p
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runPort(c.Context, in, c.Args().First(), only, a.ui)
		},
	}
}

// reachLines is up to how many ports it is told of each who reaches it, not only of each address.
const reachLines = 20

// changePorts reads the flags of a change.
func (a *app) changePorts(c *cli.Context) error {
	if err := a.needArgs(c, 1, 1); err != nil {
		return err
	}
	add, err := options.Ports(c.StringSlice("add"))
	if err != nil {
		return err
	}
	remove, err := options.Ports(c.StringSlice("rm"))
	if err != nil {
		return err
	}
	in, err := a.open()
	if err != nil {
		return err
	}
	return runPortChange(c.Context, in, c.Args().First(), add, remove, a.ui)
}

// runPortChange publishes more ports of a container, and others no more. Those that go, go first: a host port may lead elsewhere.
func runPortChange(ctx context.Context, in *lifecycle.Installation, name string, add, remove []network.Port, ui *ui) error {
	c, err := in.Find(name)
	if err != nil {
		return err
	}
	warnings, err := in.ChangePorts(ctx, c, remove, add)
	if err == nil {
		ui.warn(warnings...)
	}
	return err
}

// runPort prints where a running container's ports are published.
func runPort(_ context.Context, in *lifecycle.Installation, name string, only *network.Expose, ui *ui) error {
	c, err := in.Find(name)
	if err != nil {
		return err
	}
	record := &network.Record{}
	if c.State().Running() {
		if r, err := network.ReadRecord(c.SandboxPath()); err == nil {
			record = r
		}
	}
	found := false
	for _, m := range mappings(record) {
		switch {
		case only == nil:
			ui.printf("%d/%s -> %s\n", m.ContainerPort, m.Protocol, m)
		case *only == m.Expose():
			ui.println(m.String())
			found = true
		}
	}
	if only != nil && !found {
		return fmt.Errorf("no public port '%d/%s' published for %s", only.Port, only.Protocol, name)
	}
	if only == nil {
		return tellReach(in, record, ui)
	}
	return nil
}

// mapping is a published port at one place.
type mapping struct {
	network.Port
	network.Place
}

// String is the address that clients ask.
func (m mapping) String() string {
	if m.Direct.IsValid() {
		return m.Direct.String()
	}
	return m.Host.String()
}

// mappings returns the published ports in the order that Docker prints them in: by the container's port, then by the host's
// address, IPv4 first, then by the host's port.
func mappings(r *network.Record) []mapping {
	var all []mapping
	for _, p := range r.Ports {
		for _, at := range r.Places(p) {
			all = append(all, mapping{p, at})
		}
	}
	slices.SortFunc(all, func(a, b mapping) int {
		return cmp.Or(cmp.Compare(a.ContainerPort, b.ContainerPort), cmp.Compare(a.Protocol, b.Protocol), a.Host.Compare(b.Host))
	})
	return all
}

// tellReach says who reaches the published ports.
func tellReach(in *lifecycle.Installation, r *network.Record, ui *ui) error {
	all, notes, err := in.Networks.Reach(r)
	if err != nil {
		return err
	}
	told := map[string]bool{}
	for _, one := range all {
		addr := "*"
		if one.At.Addr().IsValid() {
			addr = one.At.Addr().String()
		}
		line := fmt.Sprintf("%s/%s is reachable from: %s", net.JoinHostPort(addr, strconv.Itoa(int(one.At.Port()))), one.Port.Protocol, one.From)
		if len(r.Ports) > reachLines {
			line = fmt.Sprintf("ports of %s are reachable from: %s", addr, one.From)
		}
		if !told[line] {
			told[line] = true
			ui.notice(line)
		}
	}
	for _, note := range notes {
		ui.notice("note: " + note)
	}
	return nil
}
