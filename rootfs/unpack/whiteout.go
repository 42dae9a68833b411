package unpack

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ctr/rootfs/inroot"
)

// The names of the image specification's layer format, which are those of aufs.
const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..opq" // after the prefix
	aufsPrefix     = whiteoutPrefix + whiteoutPrefix
)

// isAufsOnly tells whether a name is in what aufs kept for itself (.wh..wh.plnk, .wh..wh.aufs): every unpacker skips it.
func isAufsOnly(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, aufsPrefix) && part != whiteoutPrefix+opaqueName {
			return true
		}
	}
	return false
}

// whiteout hides what the layers below have: the name in this folder, or everything in it. What this layer itself has stays
// visible, whether it comes before or after the whiteout in the archive.
func (u *unpacker) whiteout(parent *os.File, hidden string) error {
	switch hidden {
	case opaqueName:
		if err := unix.Fsetxattr(int(parent.Fd()), inroot.OpaqueXattr, []byte("y"), 0); err != nil {
			return &os.PathError{Op: "setxattr " + inroot.OpaqueXattr, Path: parent.Name(), Err: err}
		}
		return nil
	case "", ".", "..":
		return fmt.Errorf("%w: whiteout of no name", ErrArchive)
	}
	var st unix.Stat_t
	err := unix.Fstatat(int(parent.Fd()), hidden, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return inroot.MarkOpaque(parent, hidden)
	case err == nil:
		return nil
	case !errors.Is(err, unix.ENOENT):
		return &os.PathError{Op: "stat", Path: hidden, Err: err}
	}
	if err := mknod(parent, hidden, unix.S_IFCHR, 0); err != nil {
		return err
	}
	name, err := u.nameInRoot(parent, hidden)
	if err != nil {
		return err
	}
	u.whiteouts[name] = struct{}{}
	return u.countName(name)
}

// pruneWhiteouts removes the whiteouts in folders that are merged with none below: there is nothing to hide, and overlayfs,
// which reads such a folder as it is, would list them as files that cannot be found.
func (u *unpacker) pruneWhiteouts() error {
	for name := range u.whiteouts {
		dir, base, err := u.root.Parent(name)
		if err != nil {
			continue // a later entry replaced the folder
		}
		var st unix.Stat_t
		err = unix.Fstatat(int(dir.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == nil && isWhiteout(&st) && !u.isMerged(path.Dir(name)) {
			err = unix.Unlinkat(int(dir.Fd()), base, 0)
		}
		dir.Close()
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("prune whiteout of %s: %w", shorten(name), err)
		}
	}
	return nil
}

// isMerged tells whether a folder of this layer is seen together with one of a layer below, as overlayfs decides it.
func (u *unpacker) isMerged(name string) bool {
	if name == "." || len(u.options.Lower) == 0 { // nobody said what is below
		return true
	}
	if _, ends := foldersOn(u.root, name); ends {
		return false
	}
	for _, lower := range slices.Backward(u.options.Lower) {
		layer, err := inroot.Open(lower)
		if err != nil {
			continue
		}
		has, ends := foldersOn(layer, name)
		layer.Close()
		if has || ends {
			return has
		}
	}
	return false
}

// foldersOn tells whether a layer has the folder, and whether it hides it from the layers below: by something else in its
// place, or by an opaque folder.
func foldersOn(layer *inroot.Root, name string) (has, ends bool) {
	parts := strings.Split(name, "/")
	for i := range len(parts) + 1 {
		d, err := layer.Open(strings.Join(parts[:i], "/"), unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err != nil {
			return false, ends || !errors.Is(err, unix.ENOENT)
		}
		var value [1]byte
		n, err := unix.Fgetxattr(int(d.Fd()), inroot.OpaqueXattr, value[:])
		d.Close()
		ends = ends || err == nil && n == 1 && value[0] == 'y'
	}
	return true, ends
}

func isWhiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

func mknod(parent *os.File, base string, mode uint32, dev uint64) error {
	if err := unix.Mknodat(int(parent.Fd()), base, mode, int(dev)); err != nil {
		return &os.PathError{Op: "mknod", Path: base, Err: err}
	}
	return nil
}
