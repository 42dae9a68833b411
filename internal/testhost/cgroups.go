package testhost

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Tag is the mark of this host's installation in names that are the machine's: its cgroups are ctr-<tag>/<container ID>.
func (h *Host) Tag() string {
	sum := sha256.Sum256([]byte(h.Root + "\x00" + h.RunRoot))
	return hex.EncodeToString(sum[:4])
}

// cgroups returns the cgroups of this host's containers, in all hierarchies, those within others first.
func (h *Host) cgroups() ([]string, error) {
	var found []string
	// cgroup v2 alone is mounted on /sys/fs/cgroup; v1 and the hybrid have one folder a hierarchy below it.
	for _, pattern := range []string{"/sys/fs/cgroup/ctr-", "/sys/fs/cgroup/*/ctr-"} {
		tops, err := filepath.Glob(pattern + h.Tag())
		if err != nil {
			return nil, err
		}
		for _, top := range tops {
			err := filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					found = append(found, path)
				}
				if errors.Is(err, os.ErrNotExist) {
					return nil
				}
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	// WalkDir lists a folder before what is in it.
	for i, j := 0, len(found)-1; i < j; i, j = i+1, j-1 {
		found[i], found[j] = found[j], found[i]
	}
	return found, nil
}

// removeCgroups removes the cgroups that a host which has ended left behind, and returns those of containers: the folder above
// them stays with an installation until it is reset.
func (h *Host) removeCgroups() (left []string, err error) {
	found, err := h.cgroups()
	if err != nil {
		return nil, err
	}
	for _, dir := range found {
		if !strings.HasSuffix(dir, "/ctr-"+h.Tag()) {
			left = append(left, dir)
		}
		if removeErr := removeCgroup(dir); removeErr != nil {
			err = errors.Join(err, removeErr)
		}
	}
	return left, err
}

// removeCgroup removes one cgroup. The processes in it are dead, but the kernel may still be busy burying them.
func removeCgroup(dir string) error {
	deadline := time.Now().Add(5 * time.Second)
	for {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}
