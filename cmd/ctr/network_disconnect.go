package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"ctr/runtime/lifecycle"
)

func (a *app) networkDisconnectCommand() *cli.Command {
	return &cli.Command{
		Name: "disconnect", Usage: "Disconnect a container from a network, also while it runs", ArgsUsage: "NETWORK CONTAINER",
		Description: "ctr network disconnect mynet web",
		Flags:       []cli.Flag{boolFlag("force", "Disconnect from a network that is gone, too", "f")},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 2, 2); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runNetworkDisconnect(c.Context, in, c.Args().First(), c.Args().Get(1), c.Bool("force"))
		},
	}
}

// runNetworkDisconnect takes a container off a network.
func runNetworkDisconnect(ctx context.Context, in *lifecycle.Installation, network, name string, force bool) error {
	c, err := in.Find(name)
	if err != nil {
		return err
	}
	return in.Disconnect(ctx, c, network, force)
}
