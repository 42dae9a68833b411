package lifecycle

import (
	"context"
	"errors"

	"ctr/network"
	"ctr/runtime/container"
	"ctr/runtime/engine"
)

// Update changes limits and the restart policy of a container, also while it runs; f is given its spec as it is now. It returns
// warnings for the user. On error all is as before.
func (in *Installation) Update(ctx context.Context, c *container.Container, f func(*container.Spec) error) (warnings []string, err error) {
	err = in.change(ctx, c, func(*network.Live) error {
		before := c.Resources
		if err := f(&c.Spec); err != nil {
			return err
		}
		if c.AutoRemove && c.Restart.Name != "" && c.Restart.Name != "no" {
			return errors.New("Restart policy cannot be updated because AutoRemove is enabled for the container")
		}
		warnings, err = engine.Update(in.Containers.RunRoot(), c.ID, c.Resources)
		if errors.Is(err, container.ErrNotRunning) {
			return nil // they are those of the next start
		}
		if err != nil {
			// The kernel may have taken some of them.
			_, _ = engine.Update(in.Containers.RunRoot(), c.ID, before)
		}
		return err
	})
	if err == nil {
		in.Notify(c, "update")
	}
	return warnings, err
}
