package engine

import (
	"os"
	"path/filepath"
)

// FreezerFile returns the file that tells whether the processes of a cgroup are paused, for whoever must know it at the price
// of one read: it begins with F (freezer.state, cgroups(7) version 1) or 1 (cgroup.freeze, version 2) if they are. Empty if
// this kernel has no freezer.
func FreezerFile(cgroup string) string {
	for _, file := range []string{
		filepath.Join("/sys/fs/cgroup/freezer", cgroup, "freezer.state"),
		filepath.Join("/sys/fs/cgroup", cgroup, "cgroup.freeze"),
	} {
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	return ""
}
