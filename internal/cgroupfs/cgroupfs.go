// Package cgroupfs knows where the machine's hierarchies of cgroups are mounted (cgroups(7)): those of version 1, that of version 2,
// or both at once, the hybrid. It reads the kernel's files, owns nothing, and makes and changes no cgroup.
package cgroupfs

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// Unified is the name of version 2's hierarchy in Roots, which has all controllers.
	Unified = ""
	// Systemd is that of the hierarchy without a controller in which systemd keeps its units.
	Systemd = "name=systemd"

	mountPoint = "/sys/fs/cgroup"
)

// ErrNone is returned when no hierarchy is mounted.
var ErrNone = errors.New("no cgroups are mounted on " + mountPoint)

// Roots returns where the hierarchies are mounted, by the names of their controllers: Unified alone with version 2. Controllers of
// one hierarchy have the same root. Hierarchies without a controller are their makers' own, and left out, but for Systemd. It
// looks once; the map is not to be changed.
var Roots = sync.OnceValues(func() (map[string]string, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("find cgroups: %w", err)
	}
	roots := find(string(own), fileSystem)
	if len(roots) == 0 {
		return nil, ErrNone
	}
	return roots, nil
})

// fileSystem returns the type of the file system that a path is on; 0 if there is no such path.
func fileSystem(path string) int64 {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return 0
	}
	return st.Type
}

// find looks for the mount point of each hierarchy that /proc/PID/cgroup lists: 4:cpu,cpuacct:/path or 0::/path.
func find(own string, fileSystem func(string) int64) map[string]string {
	if fileSystem(mountPoint) == unix.CGROUP2_SUPER_MAGIC {
		return map[string]string{Unified: mountPoint}
	}
	roots := map[string]string{}
	for line := range strings.Lines(own) {
		_, line, _ = strings.Cut(line, ":")
		names, _, _ := strings.Cut(line, ":")
		for name := range strings.SplitSeq(names, ",") {
			kind := int64(unix.CGROUP_SUPER_MAGIC)
			// A hierarchy of several controllers has a folder with the names of all, and links with that of each.
			folders := []string{names, name}
			switch {
			case name == Unified:
				kind, folders = unix.CGROUP2_SUPER_MAGIC, []string{"unified"}
			case name == Systemd:
				folders = []string{"systemd"}
			case strings.HasPrefix(name, "name="):
				continue
			}
			for _, folder := range folders {
				if path := filepath.Join(mountPoint, folder); fileSystem(path) == kind {
					roots[name] = path
					break
				}
			}
		}
	}
	return roots
}

// UnifiedRoot returns where version 2's hierarchy is mounted, alone or beside those of version 1; empty if it is not.
func UnifiedRoot() string {
	roots, _ := Roots()
	return roots[Unified]
}

// Version2 tells whether there is no hierarchy but version 2's.
func Version2() bool { return UnifiedRoot() == mountPoint }

// Dirs returns the folders of a cgroup in all hierarchies that have it. The path is relative to each hierarchy.
func Dirs(cgroup string) []string {
	roots, _ := Roots()
	var dirs []string
	for _, root := range slices.Compact(slices.Sorted(maps.Values(roots))) {
		dir := filepath.Join(root, cgroup)
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}
