package lifecycle

import (
	"errors"
	"os"
	"time"

	"ctr/runtime/container"
	"ctr/runtime/engine"
)

// recover takes over what a killed monitor has left of a container. The caller holds the lock, which proves that there is no
// monitor. A container that still runs is left alone; of one that does not, the sandbox, cgroups and run folder are taken down.
func (in *Installation) recover(c *container.Container) error {
	if _, err := os.Lstat(c.RunDir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	record, err := c.ReadMonitor()
	if err == nil && record.Init.Alive() && !record.StartedAt.IsZero() {
		return nil
	}
	return in.takeDown(c)
}

// takeDown ends and removes all that a run of the container has made, and records its end if nobody did.
func (in *Installation) takeDown(c *container.Container) error {
	errs := []error{
		engine.Destroy(in.Containers.RunRoot(), c.ID),
		in.Networks.Teardown(c.SandboxPath()),
	}
	if exit, err := c.ReadExit(); err == nil && exit.FinishedAt.IsZero() && !exit.StartedAt.IsZero() {
		exit.FinishedAt, exit.ExitCode = time.Now(), container.ExitUnknown
		exit.Error = "exit code unknown: its monitor was killed"
		errs = append(errs, c.WriteExit(exit))
	}
	return errors.Join(append(errs, os.RemoveAll(c.RunDir))...)
}
