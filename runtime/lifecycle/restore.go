package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ctr/runtime/container"
)

// Restore brings an installation back after a reboot, as Docker's daemon does when it starts: containers whose restart policy
// says so are started, the oldest first but after those whose namespaces they join, and --rm containers that did not live to
// be removed are. Running ones are left alone. started is told each that runs again, with warnings for the user. It goes on
// past errors.
func (in *Installation) Restore(ctx context.Context, started func(*container.Container, []string)) error {
	all, errs := in.Containers.List()
	slices.Reverse(all) // they come the newest first
	var pending []*container.Container
	for _, c := range all {
		switch state := c.State(); {
		case state.Active():
		case c.AutoRemove:
			errs = append(errs, in.Remove(ctx, c, RemoveOptions{Volumes: true}))
		case wantedAfterReboot(c, state):
			pending = append(pending, c)
		}
	}
	for _, c := range targetsFirst(pending) {
		_, warnings, err := in.Start(ctx, c, nil)
		if err != nil {
			errs = append(errs, fmt.Errorf("container %s: %w", c.Name, err))
			continue
		}
		started(c, warnings)
	}
	return errors.Join(errs...)
}

// wantedAfterReboot tells whether the policy starts a container that does not run. One that never ran is not meant.
func wantedAfterReboot(c *container.Container, state container.State) bool {
	if state.Status != container.Exited {
		return false
	}
	switch c.Restart.Name {
	case "always":
		return true
	case "unless-stopped":
		exit, err := c.ReadExit()
		return err == nil && !exit.Stopped
	case "on-failure":
		exit, err := c.ReadExit()
		return err == nil && !exit.Stopped && state.ExitCode != 0 && (c.Restart.MaxRetries == 0 || state.Restarts < c.Restart.MaxRetries)
	}
	return false
}

// targetsFirst returns the containers so that who joins a namespace comes after its owner. Joins have no loops: a container
// can only join one that was there before it.
func targetsFirst(all []*container.Container) []*container.Container {
	ordered := make([]*container.Container, 0, len(all))
	seen := map[string]bool{}
	var add func(c *container.Container)
	add = func(c *container.Container) {
		if seen[c.ID] {
			return
		}
		seen[c.ID] = true
		for _, mode := range []container.Mode{c.Network.Mode, c.Namespaces.PID, c.Namespaces.IPC, c.Namespaces.UTS} {
			id, _ := mode.Container()
			if i := slices.IndexFunc(all, func(x *container.Container) bool { return x.ID == id }); i >= 0 {
				add(all[i])
			}
		}
		ordered = append(ordered, c)
	}
	for _, c := range all {
		add(c)
	}
	return ordered
}
