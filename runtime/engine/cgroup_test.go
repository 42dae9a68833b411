package engine

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
)

// The monitor removes the cgroup of a container that ends, while another command may be about to kill what is in it.
func TestKillWhileRemoved(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		r := record{Cgroup: "/ctr-" + h.Tag() + "/ending"}
		m, err := r.cgroup()
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			for _, dir := range m.GetPaths() {
				if err := errors.Join(os.MkdirAll(filepath.Dir(dir), 0o755), os.MkdirAll(dir, 0o755)); err != nil {
					t.Fatal(err)
				}
			}
			ended := make(chan error)
			go func() { ended <- removeEach(m.GetPaths()) }()
			killed := r.kill()
			if err := errors.Join(killed, <-ended); err != nil {
				t.Fatal(err)
			}
		}
		removeParents(t, h)
	})
}

// removeEach removes the folders; several hierarchies may share one.
func removeEach(dirs map[string]string) error {
	for _, dir := range dirs {
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return nil
}
