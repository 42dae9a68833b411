package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ctr/internal/cgroupfs"
)

// cgroupPoll is how often removal looks whether the processes of a cgroup have ended.
const cgroupPoll = 5 * time.Millisecond

// cgroupDirs returns the folders of the installation's cgroups in all hierarchies, the deepest first.
func (in *Installation) cgroupDirs() []string {
	var dirs []string
	for _, parent := range cgroupfs.Dirs(in.CgroupParent()) {
		filepath.WalkDir(parent, func(path string, d fs.DirEntry, err error) error { //nolint:errcheck // what has gone is good
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
	}
	slices.Reverse(dirs)
	return dirs
}

// killCgroups ends every process in them: containers whose records are lost.
func (in *Installation) killCgroups() error {
	var errs []error
	for _, dir := range in.cgroupDirs() {
		procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			continue
		}
		for line := range strings.FieldsSeq(string(procs)) {
			pid, err := strconv.Atoi(line)
			if err != nil || pid == os.Getpid() {
				continue
			}
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				errs = append(errs, fmt.Errorf("kill process %d of %q: %w", pid, dir, err))
			}
		}
	}
	return errors.Join(errs...)
}

// removeCgroups removes them; a monitor that says its last words is waited for.
func (in *Installation) removeCgroups(ctx context.Context) error {
	ctx, cancel := settling(ctx)
	defer cancel()
	for _, dir := range in.cgroupDirs() {
		for {
			err := unix.Rmdir(dir)
			if err == nil || errors.Is(err, unix.ENOENT) {
				break
			}
			if !errors.Is(err, unix.EBUSY) {
				return fmt.Errorf("remove cgroup %q: %w", dir, err)
			}
			again := time.NewTimer(cgroupPoll)
			select {
			case <-again.C:
			case <-ctx.Done():
				return fmt.Errorf("remove cgroup %q: %w", dir, unix.EBUSY)
			}
		}
	}
	return nil
}
