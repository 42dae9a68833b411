package inroot

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// OpaqueXattr marks a folder of an overlay's layer that hides the folders of the same name below it.
const OpaqueXattr = "trusted.overlay.opaque"

// Mkdir makes a folder of the thread's own user (root's, as a rule: see rootfs.WithOwner) with exactly this mode, whatever the
// umask is, and the setgid bit of the parent. It returns an error that wraps os.ErrExist if base is there.
func Mkdir(parent *os.File, base string, perm uint32) error {
	if err := unix.Mkdirat(int(parent.Fd()), base, perm&0o777); err != nil {
		return pathError("mkdir", base, err)
	}
	d, err := openBelow(int(parent.Fd()), base)
	if err != nil {
		return pathError("mkdir", base, err)
	}
	defer d.Close()
	if err := d.Chown(ownIDs()); err != nil {
		return err
	}
	if err := unix.Fchmod(int(d.Fd()), perm); err != nil {
		return pathError("chmod", base, err)
	}
	return nil
}

// ownIDs are those by which the calling thread owns what it makes (setfsuid(2)): -1 changes nothing, and tells.
func ownIDs() (uid, gid int) {
	uid, _ = unix.SetfsuidRetUid(-1) // it has no errors
	gid, _ = unix.SetfsgidRetGid(-1)
	return uid, gid
}

// ReplaceByDir puts an empty folder in the place of something that is none, in a layer of an overlay. What the layers below
// have under that name was hidden until now, and stays so: the folder is opaque.
func ReplaceByDir(parent *os.File, base string, perm uint32) error {
	if err := unix.Unlinkat(int(parent.Fd()), base, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return pathError("remove", base, err)
	}
	if err := Mkdir(parent, base, perm); err != nil {
		return err
	}
	return MarkOpaque(parent, base)
}

// MarkOpaque marks a folder as opaque.
func MarkOpaque(parent *os.File, base string) error {
	d, err := openBelow(int(parent.Fd()), base)
	if err != nil {
		return pathError("open", base, err)
	}
	defer d.Close()
	if err := unix.Fsetxattr(int(d.Fd()), OpaqueXattr, []byte("y"), 0); err != nil {
		return pathError("setxattr "+OpaqueXattr, base, err)
	}
	return nil
}
