package inroot

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxCopyDepth bounds the descriptors that a copy holds open, two a folder.
const maxCopyDepth = 200

// CopyDir copies everything in the folder src into the folder dst, which is empty, and then the attributes of src itself:
// owner, mode, times, extended attributes (those of overlayfs left out), symbolic links as they are, hard links among what
// is copied as hard links, devices and FIFOs as such. Neither a link nor a mount is followed; it returns ErrMounted. On
// error dst holds a part.
func CopyDir(src, dst *os.File) error {
	c := copier{root: FromFile(dst), links: map[inode]string{}}
	if err := c.dir(src, dst, ".", 0); err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	return nil
}

type inode struct{ dev, ino uint64 }

type copier struct {
	root  *Root
	links map[inode]string // what has several names: the one that it was copied to
}

// dir copies the content of a folder, then its attributes: making files in it changes its times.
func (c *copier) dir(src, dst *os.File, name string, depth int) error {
	if depth > maxCopyDepth {
		return pathError("copy", name, unix.ENAMETOOLONG)
	}
	for {
		entries, err := src.ReadDir(1024)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := c.entry(src, dst, e.Name(), path.Join(name, e.Name()), depth); err != nil {
				return err
			}
		}
	}
	return copyAttributes(FdPath(src)+"/.", FdPath(dst)+"/.")
}

func (c *copier) entry(src, dst *os.File, base, name string, depth int) error {
	var st unix.Stat_t
	if err := unix.Fstatat(int(src.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return pathError("stat", name, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return c.subdir(src, dst, base, name, depth)
	}
	key := inode{st.Dev, st.Ino}
	if first, ok := c.links[key]; ok {
		return c.link(first, dst, base)
	}
	if st.Nlink > 1 {
		c.links[key] = name
	}
	if err := copyNode(src, dst, base, &st); err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	return copyAttributes(FdPath(src)+"/"+base, FdPath(dst)+"/"+base)
}

func (c *copier) subdir(src, dst *os.File, base, name string, depth int) error {
	from, err := openBelow(int(src.Fd()), base)
	if errors.Is(err, unix.EXDEV) {
		return fmt.Errorf("%q: %w", name, ErrMounted)
	}
	if err != nil {
		return pathError("open", name, err)
	}
	defer from.Close()
	if err := Mkdir(dst, base, 0o700); err != nil {
		return err
	}
	to, err := openBelow(int(dst.Fd()), base)
	if err != nil {
		return pathError("open", name, err)
	}
	defer to.Close()
	return c.dir(from, to, name, depth+1)
}

func (c *copier) link(first string, dst *os.File, base string) error {
	dir, target, err := c.root.Parent(first)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Linkat(int(dir.Fd()), target, int(dst.Fd()), base, 0); err != nil {
		return &os.LinkError{Op: "link", Old: first, New: base, Err: err}
	}
	return nil
}

// copyNode copies what is no folder, without its attributes.
func copyNode(src, dst *os.File, base string, st *unix.Stat_t) error {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return copyFile(src, dst, base)
	case unix.S_IFLNK:
		target, err := Readlink(src, base)
		if err != nil {
			return err
		}
		return os.NewSyscallError("symlinkat", unix.Symlinkat(target, int(dst.Fd()), base))
	}
	return os.NewSyscallError("mknodat", unix.Mknodat(int(dst.Fd()), base, st.Mode, int(st.Rdev)))
}

func copyFile(src, dst *os.File, base string) (err error) {
	in, err := FromFile(src).OpenRegular(base)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := FromFile(dst).Open(base, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if e := out.Close(); err == nil {
			err = e
		}
	}()
	if unix.IoctlFileClone(int(out.Fd()), int(in.Fd())) == nil {
		return nil // the file system shares the blocks (XFS, Btrfs)
	}
	_, err = io.Copy(out, in) // copy_file_range(2)
	return err
}

// copyAttributes copies from one path to another. Both end in a component below an open folder that is not followed.
func copyAttributes(from, to string) error {
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return pathError("stat", from, err)
	}
	if err := unix.Lchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return pathError("chown", to, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := chmodNoFollow(unix.AT_FDCWD, to, st.Mode&0o7777); err != nil {
			return err
		}
	}
	if err := copyXattrs(from, to); err != nil {
		return err
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, to, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return pathError("set times", to, err)
	}
	return nil
}

func copyXattrs(from, to string) error {
	names := make([]byte, 64<<10) // the most that a file can have (XATTR_LIST_MAX)
	n, err := unix.Llistxattr(from, names)
	if errors.Is(err, unix.ENOTSUP) || n == 0 {
		return nil
	}
	if err != nil {
		return pathError("list xattrs", from, err)
	}
	value := make([]byte, 64<<10) // XATTR_SIZE_MAX
	for name := range strings.SplitSeq(strings.TrimRight(string(names[:n]), "\x00"), "\x00") {
		if strings.HasPrefix(name, "trusted.overlay.") {
			continue
		}
		n, err := unix.Lgetxattr(from, name, value)
		if err == nil {
			err = unix.Lsetxattr(to, name, value[:n], 0)
		}
		if err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.ENODATA) {
			return pathError("copy xattr "+name, from, err)
		}
	}
	return nil
}

// Chmod changes the mode of base in an open folder, which is no symbolic link.
func Chmod(parent *os.File, base string, mode uint32) error {
	return chmodNoFollow(int(parent.Fd()), base, mode)
}

// chmodNoFollow goes through a descriptor: fchmodat(2) without following came with Linux 6.6 only.
func chmodNoFollow(dir int, name string, mode uint32) error {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return pathError("open", name, err)
	}
	defer unix.Close(fd)
	if err := unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode); err != nil {
		return pathError("chmod", name, err)
	}
	return nil
}
