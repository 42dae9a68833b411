package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

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
	if err := inroot.RemoveAll(dir, filepath.Base(path)); err != nil {
		return fmt.Errorf("remove %q: %w", path, err)
	}
	return nil
}
