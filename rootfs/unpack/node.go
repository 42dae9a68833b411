package unpack

import (
	"archive/tar"
	"errors"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"

	"ctr/rootfs/inroot"
)

// make makes what the entry describes, in the place of whatever has its name.
func (u *unpacker) make(parent *os.File, base, name string, h *tar.Header) error {
	switch h.Typeflag {
	case tar.TypeDir:
		return u.dir(parent, base, name, h)
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		if err := u.replace(parent, base); err != nil {
			return err
		}
		return u.file(parent, base, h)
	case tar.TypeLink:
		return u.link(parent, base, h)
	case tar.TypeSymlink:
		if err := u.replace(parent, base); err != nil {
			return err
		}
		if err := unix.Symlinkat(h.Linkname, int(parent.Fd()), base); err != nil {
			return &os.PathError{Op: "symlink", Path: base, Err: err}
		}
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		mode, dev, err := device(h)
		if err != nil {
			return err
		}
		if err := u.replace(parent, base); err != nil {
			return err
		}
		if err := mknod(parent, base, mode, dev); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%w: unknown kind of entry %q", ErrArchive, h.Typeflag)
	}
	return attributesAt(parent, base, h)
}

// replace removes what has the name of an entry that is no folder.
func (u *unpacker) replace(parent *os.File, base string) error {
	if u.into != nil {
		return giveWay(parent, base)
	}
	return inroot.RemoveAll(parent, base)
}

// dir makes a folder, or gives an existing one the attributes of the entry.
func (u *unpacker) dir(parent *os.File, base, name string, h *tar.Header) error {
	var st unix.Stat_t
	err := unix.Fstatat(int(parent.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		err = inroot.Mkdir(parent, base, 0o700)
	case err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR && u.into != nil:
		return fmt.Errorf("%w non-directory %q with directory", ErrInWay, base)
	case err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR:
		// A whiteout, or a file or link of this archive: either hid the folder of the layers below.
		err = inroot.ReplaceByDir(parent, base, 0o700)
	}
	if err != nil {
		return err
	}
	d, err := inroot.FromFile(parent).Open(base, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := attributes(d, h); err != nil {
		return err
	}
	atime, mtime := times(h)
	return u.rememberTimes(d, name, atime, mtime)
}

// link makes a hard link. The attributes are its target's already: tar lists them again with each link, and setting them
// would follow a link to a symbolic link (CVE-2021-32760).
func (u *unpacker) link(parent *os.File, base string, h *tar.Header) error {
	name, err := u.nameInto(h.Linkname)
	if err != nil {
		return err
	}
	dir, target, err := u.root.Parent(name)
	if err != nil {
		return fmt.Errorf("link to %s: %w", shorten(h.Linkname), err)
	}
	defer dir.Close()
	var old, st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), target, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("link to %s: %w", shorten(h.Linkname), err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR || isWhiteout(&st) {
		return fmt.Errorf("%w: link to %s, which is no file", ErrArchive, shorten(h.Linkname))
	}
	if err := unix.Fstatat(int(parent.Fd()), base, &old, unix.AT_SYMLINK_NOFOLLOW); err == nil && old.Dev == st.Dev && old.Ino == st.Ino {
		return nil // they are links of each other already, or one and the same
	}
	if err := u.replace(parent, base); err != nil {
		return err
	}
	if err := unix.Linkat(int(dir.Fd()), target, int(parent.Fd()), base, 0); err != nil {
		return &os.LinkError{Op: "link", Old: target, New: base, Err: err}
	}
	return nil
}

// device returns what mknod(2) takes.
func device(h *tar.Header) (mode uint32, dev uint64, err error) {
	if h.Typeflag == tar.TypeFifo {
		return unix.S_IFIFO, 0, nil
	}
	if h.Devmajor < 0 || h.Devmajor > math.MaxUint32 || h.Devminor < 0 || h.Devminor > math.MaxUint32 {
		return 0, 0, fmt.Errorf("%w: device number %d:%d", ErrArchive, h.Devmajor, h.Devminor)
	}
	dev = unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))
	// mknod(2) takes 32 bits: 12 of the major, 20 of the minor number.
	if h.Devmajor > 0xfff || h.Devminor > 0xfffff {
		return 0, 0, fmt.Errorf("%w: device number %d:%d", ErrArchive, h.Devmajor, h.Devminor)
	}
	if h.Typeflag == tar.TypeBlock {
		return unix.S_IFBLK, dev, nil
	}
	if dev == 0 {
		return 0, 0, fmt.Errorf("%w: a character device 0:0 is a whiteout of overlayfs", ErrArchive)
	}
	return unix.S_IFCHR, dev, nil
}
