package unpack

import (
	"errors"
	"fmt"
	"os"
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
func whiteout(parent *os.File, hidden string) error {
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
	case errors.Is(err, unix.ENOENT):
		return mknod(parent, hidden, unix.S_IFCHR, 0)
	}
	return &os.PathError{Op: "stat", Path: hidden, Err: err}
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
