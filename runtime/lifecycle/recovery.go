package lifecycle

import (
	"errors"
	"fmt"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"ctr/internal/cgroupfs"
	"ctr/internal/durable"
	"ctr/runtime/container"
	"ctr/runtime/engine"
)

// Sweep takes down what killed commands and monitors have left of any container: half-made ones, sandboxes, cgroups and
// processes of containers that never ran or have ended, containers that were to be removed at their end, networks. Those that go
// on without a monitor get another one. It costs a few system calls for each container that runs, and goes on past errors.
// One process sweeps at a time.
func (in *Installation) Sweep() error { return in.sweep(durable.Lock) }

// TrySweep does the same, unless another process is at it: of a hundred commands that end at once, one does for all.
func (in *Installation) TrySweep() error {
	err := in.sweep(durable.TryLock)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	}
	return err
}

func (in *Installation) sweep(lock func(path string) (func(), error)) error {
	unlock, err := lock(in.Containers.RunRoot())
	if err != nil {
		return err
	}
	defer unlock()
	heirs := succession{in: in}
	cgroups := make(chan error, 1)
	go func() { cgroups <- in.sweepCgroups() }() // of containers that have no folder: none that the rest deals with
	err = errors.Join(in.Containers.Sweep(), in.Containers.Abandoned(func(a container.Abandoned) error {
		if a.Lock != nil && a.Err == nil && heirs.of(a) {
			return nil
		}
		return in.takeOver(a)
	}))
	heirs.wg.Wait()
	return errors.Join(err, <-cgroups, in.Networks.Sweep())
}

// takeOver takes an abandoned run folder down.
func (in *Installation) takeOver(a container.Abandoned) error {
	if a.Lock == nil {
		// Its container has gone. A monitor that lives takes it down itself.
		if record, err := a.ReadMonitor(); err == nil && record.Monitor.Alive() {
			return nil
		}
		return in.takeDown(a.Container)
	}
	if a.Err == nil {
		return in.recoverFully(a.Container)
	}
	return nil // it cannot be read, and waits for the user to remove it
}

// recoverFully does what recover does, and what the killed monitor would have done after it: a --rm container that has ended
// is removed.
func (in *Installation) recoverFully(c *container.Container) error {
	_, err := os.Lstat(c.RunDir)
	remove := err == nil && c.RemovedAtEnd()
	if err := in.recover(c); err != nil {
		return fmt.Errorf("take over container %s: %w", c.Name, err)
	}
	if remove && !c.State().Active() {
		return in.Discard(c, true)
	}
	return nil
}

// sweepCgroups removes cgroups of containers that have neither a folder nor a run folder any more, and ends what runs in them.
func (in *Installation) sweepCgroups() error {
	found := map[string]map[string]bool{} // IDs, by the cgroup above
	for _, cgroup := range in.CgroupParents() {
		ids := map[string]bool{}
		for _, folder := range cgroupfs.Dirs(cgroup) {
			for _, name := range namesIn(folder) {
				ids[name] = true
			}
		}
		found[cgroup] = ids
	}
	running := map[string]bool{} // looked at afterwards: one that began meanwhile is there
	for _, id := range namesIn(in.Containers.RunRoot()) {
		running[id] = true
	}
	var errs []error
	for cgroup, ids := range found {
		for id := range ids {
			if container.IsID(id) && !running[id] && !in.Containers.Exists(id) {
				errs = append(errs, engine.DestroyCgroup(path.Join(cgroup, id)))
			}
		}
	}
	return errors.Join(append(errs, in.ReleaseCgroupParents())...)
}

// namesIn are the names in a folder, in no order. None if it cannot be read: a cgroup may go meanwhile.
func namesIn(folder string) []string {
	f, err := os.Open(folder)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	return names
}

// destroyCgroups does so for a container whose record cannot be read: it may be in any of them.
func (in *Installation) destroyCgroups(id string) error {
	var errs []error
	for _, parent := range in.CgroupParents() {
		errs = append(errs, engine.DestroyCgroup(path.Join(parent, id)))
	}
	return errors.Join(append(errs, in.ReleaseCgroupParents())...)
}

// recover takes over what a killed monitor has left of a container. The caller holds the lock, which proves that there is no
// monitor. A container that still runs is left to a successor; of one that does not, the sandbox, cgroups and run folder are
// taken down.
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
	err := engine.Destroy(in.Containers.RunRoot(), c.ID)
	if errors.Is(err, durable.ErrDamaged) {
		err = engine.DestroyCgroup(in.Cgroup(c))
	}
	if c.Resources.CgroupParent != "" {
		err = errors.Join(err, in.ReleaseCgroupParents())
	}
	errs := []error{err}
	if _, err := os.Lstat(c.RunDir); err == nil {
		if _, err := os.Lstat(c.SandboxPath()); errors.Is(err, os.ErrNotExist) {
			errs = append(errs, in.Networks.Forget(c.ID)) // somebody has removed the record, or there was no sandbox
		}
	}
	errs = append(errs, in.Networks.Teardown(c.SandboxPath()))
	if exit, err := c.ReadExit(); err == nil && exit.FinishedAt.IsZero() && !exit.StartedAt.IsZero() {
		exit.FinishedAt, exit.ExitCode = time.Now(), container.ExitUnknown
		exit.Error = "exit code unknown: its monitor was killed"
		errs = append(errs, c.WriteExit(exit))
	}
	return errors.Join(append(errs, os.RemoveAll(c.RunDir))...)
}
