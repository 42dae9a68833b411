package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ctr/internal/idmap"
	"ctr/rootfs/inroot"
)

// CopyUp fills a volume at its first use: what name leads to inside root, a folder of the image, is copied to dst with its
// owner, mode and everything in it. Links stay inside root. A dst that holds something, or a name that is not there, is left
// alone, as in Docker. Of several that do so at once one copies and the others wait.
//
// With a user namespace, the IDs in root are those of the host, and the volume gets the container's. The calling thread is locked
// then.
//
// While it copies, the file ".copying-<base of dst>" lies beside dst: a copy that was killed is done again.
func CopyUp(ctx context.Context, root, name, dst string, ids idmap.Map, user *os.File) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("copy %q to volume: %w", name, diskFull(dst, err))
		}
	}()
	r, err := inroot.Open(root)
	if err != nil {
		return err
	}
	defer r.Close()
	src, err := r.OpenDir(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer src.Close()
	to, err := openVolume(dst, user)
	if err != nil {
		return err
	}
	defer to.Close()
	if user != nil {
		back, err := becomeOwner(ids)
		if err != nil {
			return err
		}
		defer back()
	}
	if err := lock(ctx, to); err != nil {
		return err
	}
	marker := filepath.Join(filepath.Dir(dst), ".copying-"+filepath.Base(dst))
	return copyOnce(src, to.File(), marker)
}

// openVolume opens a volume's folder, as a container with a user namespace sees it.
func openVolume(dst string, user *os.File) (*inroot.Root, error) {
	if user == nil {
		return inroot.Open(dst)
	}
	m, err := CloneIDMapped(unix.AT_FDCWD, dst, false, user)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	f, err := openMount(int(m.Fd()))
	if err != nil {
		return nil, err
	}
	return inroot.FromFile(f), nil
}

func copyOnce(src, dst *os.File, marker string) (err error) {
	var st unix.Stat_t
	if killed := unix.Lstat(marker, &st) == nil; killed {
		err = inroot.Empty(dst)
	} else if empty, emptyErr := isEmpty(dst); emptyErr != nil || !empty {
		return emptyErr
	}
	if err != nil {
		return err
	}
	f, err := os.OpenFile(marker, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	if err := inroot.CopyDir(src, dst); err != nil {
		if err2 := inroot.Empty(dst); err2 != nil {
			return errors.Join(err, err2) // the marker stays: it is not done
		}
		return errors.Join(err, os.Remove(marker))
	}
	return os.Remove(marker)
}

func isEmpty(dir *os.File) (bool, error) {
	if _, err := dir.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	_, err := dir.ReadDir(1)
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}
