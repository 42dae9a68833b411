package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/manager"
	"golang.org/x/sys/unix"

	"ctr/internal/cgroupfs"
	"ctr/internal/durable"
	"ctr/internal/proc"
)

// openHierarchies makes the cgroups module open its handle of /sys/fs/cgroup, which it keeps for good, in the mount namespace
// of the process. Opened on the thread that calls Create, it would be of a mount namespace that ends with that thread.
func openHierarchies() {
	done := make(chan struct{})
	go func() { // on another thread: that of Create is locked
		defer close(done)
		if f, err := cgroups.OpenFile("/sys/fs/cgroup", ".", unix.O_PATH); err == nil {
			f.Close()
		}
	}()
	<-done
}

// cgroup opens the container's cgroup in all hierarchies, whether it exists or not. It refuses a path that cannot be one of a
// container: what a damaged record names must not cost other processes their lives, and an empty one names them all.
func (r record) cgroup() (cgroups.Manager, error) {
	if path := filepath.Clean("/" + r.Cgroup); path == "/" || strings.TrimPrefix(path, "/") != strings.TrimPrefix(r.Cgroup, "/") {
		return nil, fmt.Errorf("open cgroup %q: %w", r.Cgroup, durable.ErrDamaged)
	}
	roots, err := cgroupfs.Roots()
	if err != nil {
		return nil, fmt.Errorf("open cgroup %q: %w", r.Cgroup, err)
	}
	paths := make(map[string]string, len(roots))
	for controller, root := range roots {
		paths[controller] = filepath.Join(root, r.Cgroup)
	}
	m, err := manager.NewWithPaths(&cgroups.Cgroup{Path: r.Cgroup, Resources: &cgroups.Resources{}}, paths)
	if err != nil {
		return nil, fmt.Errorf("open cgroup %q: %w", r.Cgroup, err)
	}
	return m, nil
}

// kill ends every process of the container's cgroup. They are dead, or dying, when it returns.
//
// The death of the first process of a PID namespace takes the others along; that of a container which joined another's does
// not. The cgroup is what holds them all either way.
func (r record) kill() error {
	m, err := r.cgroup()
	if err != nil {
		return err
	}
	// cgroup v2, and hybrid hosts: one write, atomic (cgroup.kill, Linux 5.14).
	if dir := m.Path(""); dir != "" {
		err := cgroups.WriteFile(dir, "cgroup.kill", "1")
		if err == nil {
			return errors.Join(killLeaderless(dir), thaw(m))
		}
		if !removed(err) {
			return fmt.Errorf("kill cgroup: %w", err)
		}
	}
	// Frozen processes cannot fork away from the list. A maker that was killed may have come to some of the hierarchies only.
	if err := m.Freeze(cgroups.Frozen); err != nil && !removed(err) {
		return fmt.Errorf("kill cgroup: %w", err)
	}
	var errs []error
	for _, dir := range m.GetPaths() {
		errs = append(errs, killAll(dir))
	}
	return errors.Join(append(errs, thaw(m))...)
}

// killAll kills every process of a cgroup, and of those in it, in one hierarchy.
func killAll(dir string) error {
	pids, err := cgroups.GetAllPids(dir)
	if removed(err) {
		return nil
	}
	for _, pid := range pids {
		if pid <= 0 {
			continue // of another PID namespace; kill(2) takes 0 for our own process group
		}
		if kill := unix.Kill(pid, unix.SIGKILL); kill != nil && !errors.Is(kill, unix.ESRCH) {
			err = errors.Join(err, fmt.Errorf("kill process %d: %w", pid, kill))
		}
	}
	return err
}

// killLeaderless kills what cgroup.kill has passed over: its signal is for the first thread of each process alone (send_sig in
// __cgroup_kill, kernel/cgroup/cgroup.c), which may have ended before others.
func killLeaderless(dir string) error {
	pids, err := cgroups.GetAllPids(dir)
	if removed(err) {
		return nil
	}
	for _, pid := range pids {
		if id, leaderless := proc.Leaderless(pid); leaderless {
			if kill := id.Signal(unix.SIGKILL); kill != nil && !errors.Is(kill, proc.ErrGone) {
				err = errors.Join(err, kill)
			}
		}
	}
	return err
}

// thaw lets killed processes of a paused container die: cgroup v1 keeps even SIGKILL from the frozen.
func thaw(m cgroups.Manager) error {
	state, err := m.GetFreezerState()
	if removed(err) {
		return nil // never made, or gone
	}
	if err != nil || state != cgroups.Frozen {
		return err
	}
	if err := m.Freeze(cgroups.Thawed); err != nil && !removed(err) {
		return fmt.Errorf("thaw cgroup: %w", err)
	}
	return nil
}

// removed tells whether an error says that the cgroup is not there: ENOENT, or ENODEV from a file of it that was open when
// another removed it (kernfs_fop_read_iter, fs/kernfs/file.c).
func removed(err error) bool { return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) }

// removeCgroup removes the cgroup, with those that the container made in it, from every hierarchy (on hybrid hosts the
// unified one too). It waits for processes that are still dying.
func (r record) removeCgroup() error {
	m, err := r.cgroup()
	if err != nil {
		return err
	}
	if err := m.Destroy(); err != nil {
		return fmt.Errorf("remove cgroup: %w", err)
	}
	return nil
}
