package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/format"
	"ctr/cmd/ctr/internal/options"
	"ctr/internal/durable"
	"ctr/network"
	"ctr/runtime/events"
	"ctr/runtime/lifecycle"
)

func (a *app) networkCreateCommand() *cli.Command {
	return &cli.Command{
		Name: "create", Usage: "Create a network", ArgsUsage: "NETWORK",
		Description: "ctr network create mynet\nctr network create --subnet 10.1.0.0/24 --gateway 10.1.0.254 --internal back",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "driver", Aliases: []string{"d"}, Value: "bridge", Usage: "Driver to manage the network"},
			listFlag("subnet", "Subnet in CIDR format that represents a network segment"),
			listFlag("gateway", "IPv4 or IPv6 gateway for the subnet"),
			listFlag("ip-range", "Allocate container ip from a sub-range"),
			listFlag("aux-address", "Auxiliary IPv4 or IPv6 addresses used by the network driver (name=address)"),
			&cli.BoolFlag{Name: "ipv4", Value: true, Usage: "Enable IPv4 address assignment"},
			boolFlag("ipv6", "Enable IPv6 address assignment"),
			boolFlag("internal", "Restrict external access to the network"),
			boolFlag("attachable", "Taken for Docker's sake: every container may attach"),
			boolFlag("config-only", "Create a configuration only network"),
			textFlag("config-from", "The network from which to copy the configuration"),
			textFlag("ipam-driver", "IP Address Management Driver: default is the only one"),
			listFlag("ipam-opt", "Refused: the IP Address Management driver has no options"),
			textFlag("scope", "Scope of the network: local is the only one"),
			boolFlag("ingress", "Refused: networks are of this host alone"),
			listFlag("label", "Set metadata on a network"),
			listFlag("opt", "Set driver specific options", "o"),
		},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 1, 1); err != nil {
				return err
			}
			spec, err := parseNetwork(c)
			if err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			made, err := in.Networks.Create(c.Context, spec)
			if err == nil {
				in.NotifyOf(events.Network, "create", made.ID, "name", made.Name, "type", made.Driver)
			}
			if err != nil {
				return err
			}
			a.ui.println(made.ID)
			return nil
		},
	}
}

func parseNetwork(c *cli.Context) (network.Spec, error) {
	s := network.Spec{
		Name: c.Args().First(), Driver: c.String("driver"), IPv4: c.Bool("ipv4"), IPv6: c.Bool("ipv6"), Internal: c.Bool("internal"),
		Attachable: c.Bool("attachable"), ConfigOnly: c.Bool("config-only"), ConfigFrom: c.String("config-from"),
	}
	if err := refuseCluster(c); err != nil {
		return s, err
	}
	if strings.TrimSpace(s.Name) == "" {
		return s, errors.New("network name cannot be blank")
	}
	var err error
	if s.Labels, err = options.Labels(nil, c.StringSlice("label")); err != nil {
		return s, err
	}
	if s.Options, err = options.DriverOptions(c.StringSlice("opt")); err != nil {
		return s, err
	}
	s.Subnets, err = options.Subnets(c.StringSlice("subnet"), c.StringSlice("gateway"), c.StringSlice("ip-range"), c.StringSlice("aux-address"))
	if !c.IsSet("ipv6") { // as Docker does for a subnet of the family
		s.IPv6 = slices.ContainsFunc(s.Subnets, func(sub network.Subnet) bool { return sub.Prefix.Addr().Is6() })
	}
	for _, family := range []struct {
		flag, option string
		enabled      *bool
	}{{"ipv4", network.OptIPv4, &s.IPv4}, {"ipv6", network.OptIPv6, &s.IPv6}} {
		if b, malformed := strconv.ParseBool(s.Options[family.option]); malformed == nil && !c.IsSet(family.flag) {
			*family.enabled = b
		}
	}
	return s, err
}

// refuseCluster refuses what only networks of several hosts, or of plugins, could heed.
func refuseCluster(c *cli.Context) error {
	switch scope, ipam := c.String("scope"), c.String("ipam-driver"); {
	case c.Bool("ingress"):
		return errors.New("--ingress is not supported: it is for networks of a swarm, and there is none; publish ports with -p")
	case scope != "" && scope != "local":
		return fmt.Errorf("network scope %q is not supported: networks are of this host alone; leave --scope out", scope)
	case ipam != "" && ipam != "default":
		return fmt.Errorf("IPAM driver %q is not supported: leave --ipam-driver out, and say which addresses with --subnet and --ip-range", ipam)
	case len(c.StringSlice("ipam-opt")) > 0:
		return errors.New("--ipam-opt is not supported: say which addresses with --subnet, --ip-range and --aux-address")
	}
	return nil
}

func (a *app) networkLsCommand() *cli.Command {
	return &cli.Command{
		Name: "ls", Aliases: []string{"list"}, Usage: "List networks", Description: "ctr network ls --filter driver=bridge", Flags: formatFlags(),
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 0, 0); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runNetworkLs(c.Context, in, c.StringSlice("filter"), parseFormat(c), a.ui)
		},
	}
}

// runNetworkLs lists networks by name.
func runNetworkLs(_ context.Context, in *lifecycle.Installation, filters []string, o format.Options, ui *ui) error {
	keep, err := networkFilters(in, filters)
	if err != nil {
		return err
	}
	sweep(in, ui)
	all, err := in.Networks.List()
	if err != nil && !errors.Is(err, durable.ErrDamaged) {
		return err
	}
	slices.SortFunc(all, func(x, y network.Spec) int { return strings.Compare(x.Name, y.Name) })
	var rows []format.Network
	for _, n := range all {
		if keep(n) {
			rows = append(rows, format.Network{Spec: n, NoTrunc: o.NoTrunc})
		}
	}
	return errors.Join(format.Write(ui.out, format.Networks, o, rows), err)
}

func (a *app) networkRmCommand() *cli.Command {
	return a.removeCommand("network", network.ErrNotFound, runNetworkRm)
}

// runNetworkRm removes a network.
func runNetworkRm(ctx context.Context, in *lifecycle.Installation, name string) error {
	n, found := in.Networks.Find(name)
	err := in.Networks.Remove(ctx, name) // a damaged one too, which cannot be found
	if err == nil && found == nil {
		in.NotifyOf(events.Network, "destroy", n.ID, "name", n.Name, "type", n.Driver)
	}
	return err
}
