package unpack

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"golang.org/x/sys/unix"

	"ctr/internal/idmap"
	"ctr/rootfs/inroot"
)

// ErrInWay is returned by Into when a folder is in the way of a file, or a file in that of a folder.
var ErrInWay = errors.New("cannot overwrite")

// IntoOptions are how Into unpacks.
type IntoOptions struct {
	Owner     *[2]int // the UID and GID of everything; nil: as the archive says
	NoDevices bool    // device nodes are left out
	// IDs are those of the container that the files are for: their owners are as it sees them. Zero: as on the host.
	IDs idmap.Map
}

// Into adds an archive to the folder dir below root: files that are there are replaced, folders merged, and neither takes the
// place of the other. No name has a special meaning. Links that are there already are followed, inside root. On error a part
// has been written. It returns ErrArchive and ErrInWay; errors of the reader and of the kernel are wrapped.
func Into(ctx context.Context, root *inroot.Root, dir string, archive io.Reader, o IntoOptions) error {
	archive = &cancelReader{ctx: ctx, r: archive}
	u := unpacker{
		root: root, tar: tar.NewReader(archive), dirs: map[string]dirTimes{},
		options: Options{MaxBytes: math.MaxInt64, MaxEntries: math.MaxInt64, MaxNames: DefaultMaxNames},
		into:    &o, prefix: dir,
	}
	if err := u.entries(); err != nil {
		return err
	}
	if err := u.setDirTimes(); err != nil {
		return err
	}
	return drain(archive)
}

// add unpacks one entry of Into.
func (u *unpacker) add(h *tar.Header) error {
	if h.Typeflag == tar.TypeXGlobalHeader || u.into.NoDevices && (h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock) {
		return nil
	}
	name, err := u.nameInto(h.Name)
	if err != nil {
		return err
	}
	if u.into.Owner != nil {
		h.Uid, h.Gid = u.into.Owner[0], u.into.Owner[1]
	}
	var known bool
	if h.Uid, h.Gid, known = u.into.IDs.Outside(h.Uid, h.Gid); !known {
		h.Uid, h.Gid, _ = u.into.IDs.Outside(0, 0) // as in an archive of somebody else's
	}
	if clean, err := cleanName(h.Name); err == nil && clean == "." {
		return nil // the folder is there, and stays as it is
	}
	parent, base, err := u.parent(name)
	if err != nil {
		return err
	}
	defer parent.Close()
	return u.make(parent, base, name, h)
}

// nameInto is where an entry goes, from the root on.
func (u *unpacker) nameInto(name string) (string, error) {
	clean, err := cleanName(name)
	if err != nil || u.prefix == "" {
		return clean, err
	}
	return u.prefix + "/" + clean, nil
}

// giveWay removes what an entry of Into replaces: no folder.
func giveWay(parent *os.File, base string) error {
	// unlink(2) itself only looks at the mounts of the caller's own mount namespace, and would take the container's away.
	fd, err := unix.Openat2(int(parent.Fd()), base, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV,
	})
	if errors.Is(err, unix.EXDEV) {
		return fmt.Errorf("%w %q: %w", ErrInWay, base, inroot.ErrMounted)
	}
	if err == nil {
		unix.Close(fd)
	}
	err = unix.Unlinkat(int(parent.Fd()), base, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.EISDIR):
		return fmt.Errorf("%w directory %q with non-directory", ErrInWay, base)
	case err != nil:
		return &os.PathError{Op: "remove", Path: base, Err: err}
	}
	return nil
}
