package engine

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	"ctr/internal/cgroupfs"
	"ctr/internal/span"
)

// prebuildCgroups makes what the container sees in /sys/fs/cgroup on hosts with cgroup v1: its own cgroup in each hierarchy,
// read-only unless privileged. Cgroup v2 is one mount, which is left to libcontainer.
func (c Config) prebuildCgroups(config *configs.Config, hierarchies map[string]string) error {
	defer span.Begin("prebuild cgroups").End()
	i := slices.IndexFunc(config.Mounts, func(m *configs.Mount) bool { return m.Device == "cgroup" })
	if i < 0 || len(hierarchies) == 0 {
		return nil
	}
	dir, err := c.mountStage(cgroupStage, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC, [2]string{"mode", "755"})
	if err != nil {
		return err
	}
	defer dir.Close()
	stage := c.stage(cgroupStage)
	for _, name := range slices.Sorted(maps.Keys(hierarchies)) {
		if err := stageHierarchy(stage, name, hierarchies[name], config.Cgroups.Path); err != nil {
			return fmt.Errorf("hierarchy %q: %w", name, err)
		}
	}
	if config.Mounts[i].Flags&unix.MS_RDONLY != 0 {
		readonly := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		if err := unix.MountSetattr(unix.AT_FDCWD, stage, unix.AT_RECURSIVE, readonly); err != nil {
			return fmt.Errorf("make %q read-only: %w", stage, err)
		}
	}
	config.Mounts[i] = bindMount(stage, config.Mounts[i].Destination, false, true)
	return nil
}

// hierarchies returns where the hierarchies of cgroup v1 are mounted, by controller.
func hierarchies() (map[string]string, error) {
	roots, err := cgroupfs.Roots()
	if err != nil {
		return nil, err
	}
	roots = maps.Clone(roots)
	delete(roots, cgroupfs.Unified) // alone, or beside v1's
	return roots, nil
}

// stageHierarchy shows the container's cgroup under the name of the hierarchy, which is mounted on root. Controllers that are
// mounted together, such as cpu,cpuacct, are found by each name.
func stageHierarchy(stage, controller, root, cgroup string) error {
	hierarchy, path := filepath.Base(root), filepath.Join(root, cgroup)
	if name := strings.TrimPrefix(controller, "name="); name != hierarchy {
		if err := os.Symlink(hierarchy, filepath.Join(stage, name)); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	place := filepath.Join(stage, hierarchy)
	if err := os.Mkdir(place, 0o755); errors.Is(err, os.ErrExist) {
		return nil // another controller of the same hierarchy
	} else if err != nil {
		return err
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	tree, err := cloneTree(path, false)
	if err != nil {
		return err
	}
	dir, err := openFolder(place)
	if err != nil {
		tree.Close()
		return err
	}
	defer dir.Close()
	attrs := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC}
	if err := unix.MountSetattr(int(tree.Fd()), "", unix.AT_EMPTY_PATH, attrs); err != nil {
		tree.Close()
		return fmt.Errorf("set attributes: %w", err)
	}
	return moveMount(tree, dir, "")
}
