package lifecycle

import (
	"context"
	"slices"

	"ctr/runtime/container"
	"ctr/runtime/engine"
	"ctr/runtime/processes"
)

// Top lists the processes of a running container by PID, a row for each with the columns that the arguments of ps(1) ask for.
// It returns container.ErrNotRunning.
func (in *Installation) Top(_ context.Context, c *container.Container, columns []processes.Column) ([][]string, error) {
	if _, err := c.RequireRunning(); err != nil {
		return nil, err
	}
	pids, err := engine.Processes(in.Containers.RunRoot(), c.ID)
	if err != nil {
		return nil, err
	}
	in.Notify(c, "top")
	slices.Sort(pids)
	return processes.List(pids, columns)
}
