package engine

import (
	"os"
	"path/filepath"

	"ctr/internal/cgroupfs"
)

// FreezerFile returns the file that tells whether the processes of a cgroup are paused, for whoever must know it at the price
// of one read: it begins with F (freezer.state, cgroups(7) version 1) or 1 (cgroup.freeze, version 2) if they are. Empty if
// this kernel has no freezer.
func FreezerFile(cgroup string) string {
	roots, _ := cgroupfs.Roots()
	file := filepath.Join(roots["freezer"], cgroup, "freezer.state")
	if cgroupfs.Version2() {
		file = filepath.Join(cgroupfs.UnifiedRoot(), cgroup, "cgroup.freeze")
	}
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}
