package lifecycle

import (
	"context"
	"errors"
	"os"
	"strconv"

	"ctr/network"
	"ctr/network/dns"
	"ctr/network/dnswatch"
	"ctr/network/netns"
	"ctr/runtime/container"
)

// FollowDNS hands over what a running container asks, with what it is told, until the container or the context ends, or f
// returns an error. The configuration is that of its resolver, without networks if it has none of its own. It returns how many
// packets came faster than f took them, and container.ErrNotRunning.
func (in *Installation) FollowDNS(ctx context.Context, c *container.Container, f func(dns.Config, dnswatch.Question) error) (missed int, err error) {
	if _, err := c.RequireRunning(); err != nil {
		return 0, err
	}
	m, err := c.ReadMonitor()
	if err != nil {
		return 0, err
	}
	init, err := m.Init.Open()
	if err != nil {
		return 0, err
	}
	defer init.Close()
	// The process was there before and after: it is its namespace.
	ns, err := netns.Open("/proc/" + strconv.Itoa(m.Init.PID) + "/ns/net")
	if err != nil {
		return 0, err
	}
	defer ns.Close()
	w, err := dnswatch.Open(ns)
	if err != nil {
		return 0, err
	}
	defer w.Close()
	if _, err := c.RequireRunning(); err != nil {
		return 0, err
	}
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_ = pollReadable(running, int(init.Fd())) // an error ends the watch too
		cancel()
	}()
	err = w.Run(running, func(q dnswatch.Question) error {
		// Read each time: networks are connected and disconnected meanwhile.
		config, err := resolverOf(c)
		if err != nil {
			return err
		}
		return f(config, q)
	})
	return w.Missed(), err
}

// resolverOf returns what a container's resolver knows: nothing, if it has none of its own.
func resolverOf(c *container.Container) (dns.Config, error) {
	r, err := network.ReadRecord(c.SandboxPath())
	if errors.Is(err, os.ErrNotExist) || err == nil && r.DNS == nil {
		return dns.Config{}, nil
	}
	if err != nil {
		return dns.Config{}, err
	}
	return *r.DNS, nil
}
