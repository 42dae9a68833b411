package engine

import (
	"errors"
	"fmt"

	"github.com/opencontainers/runc/libcontainer"

	"ctr/runtime/container"
)

// Update changes the limits of a running container: memory, CPU, processes, block I/O. It keeps those of devices, and
// refuses what this host has no controller for. Ulimits, oom-score-adj and shm are those of a start and stay.
func Update(stateDir, id string, r container.Resources) (warnings []string, err error) {
	if err := CheckLimits(r); err != nil {
		return nil, err
	}
	root, name := libcontainerDir(stateDir, id)
	c, err := libcontainer.Load(root, name)
	if errors.Is(err, libcontainer.ErrNotExist) {
		return nil, container.ErrNotRunning
	} else if err != nil {
		return nil, fmt.Errorf("load container: %w", err)
	}
	h, err := cgroupHost()
	if err != nil {
		return nil, err
	}
	limits, warnings, err := resources(r, h)
	if err != nil {
		return nil, err
	}
	config := c.Config()
	// The cgroup is shared with what libcontainer falls back to if the kernel refuses: change a copy.
	cgroup := *config.Cgroups
	limits.Devices = cgroup.Resources.Devices
	cgroup.Resources = limits
	config.Cgroups = &cgroup
	if err := c.Set(config); errors.Is(err, libcontainer.ErrNotRunning) {
		return nil, container.ErrNotRunning
	} else if err != nil {
		return nil, fmt.Errorf("set limits: %w", err)
	}
	return warnings, nil
}
