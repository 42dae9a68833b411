package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/options"
	"ctr/network"
	"ctr/runtime/lifecycle"
)

func (a *app) networkConnectCommand() *cli.Command {
	return &cli.Command{
		Name: "connect", Usage: "Connect a container to a network, also while it runs", ArgsUsage: "NETWORK CONTAINER",
		Description: "ctr network connect mynet web\nctr network connect --ip 10.1.0.9 --alias db back web",
		Flags: []cli.Flag{
			textFlag("ip", `IPv4 address (e.g., "172.30.100.104")`),
			textFlag("ip6", `IPv6 address (e.g., "2001:db8::33")`),
			listFlag("alias", "Add network-scoped alias for the container"),
			textFlag("mac-address", "MAC address of the container's interface"),
			&cli.IntFlag{Name: "gw-priority", Usage: "The network with the highest priority has the default gateway"},
			listFlag("driver-opt", "Options of the interface: com.docker.network.endpoint.ifname=NAME, com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.KEY=VALUE,..."),
			listFlag("link", "Not supported: the names of a network are enough"),
		},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 2, 2); err != nil {
				return err
			}
			if len(c.StringSlice("link")) > 0 {
				return errLink
			}
			e, err := parseEndpoint(c)
			if err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runNetworkConnect(c.Context, in, c.Args().Get(1), e, a.ui)
		},
	}
}

// parseEndpoint reads the flags of `network connect`.
func parseEndpoint(c *cli.Context) (e network.EndpointSpec, err error) {
	e.Network, e.Aliases, e.GwPriority = c.Args().First(), c.StringSlice("alias"), c.Int("gw-priority")
	if text := c.String("ip"); text != "" {
		if e.IPv4, err = options.IPv4(text); err != nil {
			return e, err
		}
	}
	if text := c.String("ip6"); text != "" {
		if e.IPv6, err = options.IPv6(text); err != nil {
			return e, err
		}
	}
	if text := c.String("mac-address"); text != "" {
		if e.MAC, err = options.MAC(text); err != nil {
			return e, err
		}
	}
	e.DriverOpts, err = options.DriverOptions(c.StringSlice("driver-opt"))
	return e, err
}

// runNetworkConnect connects a container to a network.
func runNetworkConnect(ctx context.Context, in *lifecycle.Installation, name string, e network.EndpointSpec, ui *ui) error {
	c, err := in.Find(name)
	if err != nil {
		return err
	}
	warnings, err := in.Connect(ctx, c, e)
	ui.warn(warnings...)
	return err
}
