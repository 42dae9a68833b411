package monitor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"

	"ctr/runtime/container"
)

// checkBind checks that a bind mount's source is there, made if the user let us, and that the host's mounts can do what its
// propagation asks. It uses Docker's words.
func checkBind(mount container.Mount) error {
	if _, err := os.Stat(mount.Source); errors.Is(err, os.ErrNotExist) {
		if !mount.CreateSource {
			return fmt.Errorf("invalid mount config for type %q: bind source path does not exist: %s", mount.Type, mount.Source)
		}
		if err := os.MkdirAll(mount.Source, 0o755); err != nil {
			return fmt.Errorf("make source of mount %q: %w", mount.Target, err)
		}
	} else if err != nil {
		return fmt.Errorf("invalid mount config for type %q: %w", mount.Type, err)
	}
	switch mount.Propagation {
	case "shared", "rshared":
		return checkPropagation(mount.Source, "a shared mount", "shared:")
	case "slave", "rslave":
		return checkPropagation(mount.Source, "a shared or slave mount", "shared:", "master:")
	}
	return nil
}

// checkPropagation looks for one of the tags (proc_pid_mountinfo(5)) on the mount that holds the path.
func checkPropagation(path, want string, tags ...string) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("find mount of %q: %w", path, err)
	}
	f, err := os.Open("/proc/self/mountinfo") // of the first thread: this one has mounts of its own
	if err != nil {
		return fmt.Errorf("find mount of %q: %w", path, err)
	}
	defer f.Close()
	mounts, err := mountinfo.GetMountsFromReader(f, mountinfo.ParentsFilter(path))
	if err != nil {
		return fmt.Errorf("find mount of %q: %w", path, err)
	}
	var nearest *mountinfo.Info
	for _, m := range mounts {
		if nearest == nil || len(m.Mountpoint) >= len(nearest.Mountpoint) { // the later one is on top
			nearest = m
		}
	}
	if nearest == nil {
		return fmt.Errorf("find mount of %q: none", path)
	}
	for _, tag := range tags {
		if strings.Contains(nearest.Optional, tag) {
			return nil
		}
	}
	return fmt.Errorf("path %s is mounted on %s but it is not %s", path, nearest.Mountpoint, want)
}
