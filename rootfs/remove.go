package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/moby/sys/mountinfo"

	"ctr/rootfs/inroot"
)

// RemoveAll removes a folder with everything below it, for the folders that a container wrote to: it follows no link, needs
// no memory for deep trees, and refuses with ErrMounted as long as the mount namespace of the calling thread has something
// mounted there, since it would delete through an overlay that still lives. Nothing there is good.
func RemoveAll(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	defer dir.Close()
	if err := checkUnmounted(dir, filepath.Base(path)); err != nil {
		return fmt.Errorf("remove %q: %w", path, err)
	}
	if err := inroot.RemoveAll(dir, filepath.Base(path)); err != nil {
		return fmt.Errorf("remove %q: %w", path, err)
	}
	return nil
}

// checkUnmounted looks at the mount table first, so that nothing is removed where something is mounted. What is mounted after
// that is met by inroot.RemoveAll.
func checkUnmounted(dir *os.File, base string) error {
	parent, err := os.Readlink(inroot.FdPath(dir))
	if err != nil {
		return err
	}
	below, err := mountinfo.GetMounts(mountinfo.PrefixFilter(filepath.Join(parent, base)))
	if err != nil {
		return fmt.Errorf("read mount table: %w", err)
	}
	if len(below) > 0 {
		return fmt.Errorf("%w: %s on %q", ErrMounted, below[0].FSType, below[0].Mountpoint)
	}
	return nil
}
