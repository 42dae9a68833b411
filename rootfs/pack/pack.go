// Package pack writes files of a tree that nobody trusts as a tar archive: the other direction of package unpack.
//
// It goes from descriptor to descriptor and follows no symbolic link, so that a container which renames folders while they
// are read gets at most an archive that holds less. It owns nothing and changes nothing.
package pack

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ctr/internal/idmap"
	"ctr/rootfs/inroot"
)

// maxDepth bounds the descriptors that are held open, one a folder.
const maxDepth = 1000

// ErrTooDeep is returned for folders more than a thousand deep.
var ErrTooDeep = errors.New("folders are nested too deeply")

// Packer writes one archive. Files with several names are written once, and as hard links afterwards.
type Packer struct {
	ctx   context.Context //nolint:containedctx // it lives exactly as long as the archive that it belongs to
	tar   *tar.Writer
	links map[inode]string
	// IDs are the container's: the owners in the archive are as it sees them. Zero: as on the host.
	IDs idmap.Map
}

type inode struct{ dev, ino uint64 }

// New starts an archive, which ends with Close, or with ctx.
func New(ctx context.Context, w io.Writer) *Packer {
	return &Packer{ctx: ctx, tar: tar.NewWriter(w), links: map[inode]string{}}
}

// Close writes the archive's end.
func (p *Packer) Close() error { return p.tar.Close() }

// Tree writes an open file (O_PATH is enough) under the name, and if it is a folder, everything in it, what is mounted there
// included. Of file systems that are views of the kernel (proc, sysfs, cgroups) only the folder is written, and sockets are
// left out, as in any archive.
func (p *Packer) Tree(f *os.File, name string) error { return p.tree(f, name, 0) }

func (p *Packer) tree(f *os.File, name string, depth int) error {
	st, err := p.One(f, name)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR || isKernels(f) {
		return err
	}
	if depth > maxDepth {
		return fmt.Errorf("pack %q: %w", name, ErrTooDeep)
	}
	dir, names, err := list(f)
	if err != nil {
		return fmt.Errorf("pack %q: %w", name, err)
	}
	defer dir.Close()
	below := inroot.FromFile(dir)
	for _, base := range names {
		child, err := below.Open(base, unix.O_PATH|unix.O_NOFOLLOW, 0)
		if errors.Is(err, unix.ENOENT) {
			continue // it has just gone
		}
		if err != nil {
			return fmt.Errorf("pack %q: %w", path.Join(name, base), err)
		}
		err = p.tree(child, path.Join(name, base), depth+1)
		child.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// list opens a folder for reading and returns the names in it, sorted.
func list(f *os.File) (*os.File, []string, error) {
	dir, err := inroot.FromFile(f).OpenDir(".")
	if err != nil {
		return nil, nil, err
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		dir.Close()
		return nil, nil, err
	}
	slices.Sort(names)
	return dir, names, nil
}

// kernels are the file systems that hold no files but views of the kernel; reading some of them has effects, or never ends.
var kernels = []int64{
	unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEBUGFS_MAGIC,
	unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.BPF_FS_MAGIC, unix.PSTOREFS_MAGIC,
}

// isKernels tells whether an open file is on such a file system.
func isKernels(f *os.File) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(int(f.Fd()), &st) == nil && slices.Contains(kernels, st.Type)
}

// One writes one open file without what is in it. It returns what the kernel says of it.
func (p *Packer) One(f *os.File, name string) (st unix.Stat_t, err error) {
	if err := context.Cause(p.ctx); err != nil {
		return st, err
	}
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return st, fmt.Errorf("pack %q: %w", name, os.NewSyscallError("fstat", err))
	}
	if err := p.write(f, name, &st); err != nil {
		return st, fmt.Errorf("pack %q: %w", name, err)
	}
	return st, nil
}

func (p *Packer) write(f *os.File, name string, st *unix.Stat_t) error {
	h, err := header(f, name, st)
	if err != nil || h == nil {
		return err
	}
	if !p.IDs.IsZero() {
		h.Uid, h.Gid = p.IDs.Inside(h.Uid, h.Gid)
		unbindCapabilities(h)
	}
	if h.Typeflag != tar.TypeDir && st.Nlink > 1 {
		key := inode{st.Dev, st.Ino}
		if first, ok := p.links[key]; ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
			return p.tar.WriteHeader(h)
		}
		p.links[key] = name
	}
	if h.Typeflag != tar.TypeReg {
		return p.tar.WriteHeader(h)
	}
	if isKernels(f) {
		return errors.New("it is no file but a view of the kernel")
	}
	return p.regular(f, h)
}

// regular writes a file and its content. One that shrinks meanwhile is filled up with zeros, one that grows is cut.
func (p *Packer) regular(f *os.File, h *tar.Header) error {
	content, err := os.OpenFile(inroot.FdPath(f), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer content.Close()
	if err := p.tar.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(p.tar, io.LimitReader(&cancelReader{p.ctx, content}, h.Size))
	if err != nil {
		return err
	}
	_, err = io.CopyN(p.tar, zeros{}, h.Size-n)
	return err
}

// Whiteout writes that the name, which the layers below have, is gone (image-spec, layer.md).
func (p *Packer) Whiteout(name string, when time.Time) error {
	dir, base := path.Split(name)
	return p.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: dir + ".wh." + base, Mode: 0o600, ModTime: when, Format: tar.FormatPAX})
}

// header describes an open file; nil for a socket.
func header(f *os.File, name string, st *unix.Stat_t) (*tar.Header, error) {
	h := &tar.Header{
		Name: name, Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid),
		ModTime: time.Unix(st.Mtim.Unix()), Format: tar.FormatPAX, PAXRecords: map[string]string{},
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case unix.S_IFREG:
		h.Typeflag, h.Size = tar.TypeReg, st.Size
	case unix.S_IFLNK:
		var err error
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = inroot.Readlink(f, ""); err != nil {
			return nil, err
		}
		return h, nil
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		h.Typeflag = tar.TypeChar
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	default:
		return nil, nil //nolint:nilnil // documented
	}
	return h, xattrs(f, h)
}

// xattrs adds the attributes that belong to a file wherever it is: its capabilities, and the user's own.
func xattrs(f *os.File, h *tar.Header) error {
	names := make([]byte, 64<<10) // the most that a file can have (XATTR_LIST_MAX)
	at := inroot.FdPath(f)
	n, err := unix.Listxattr(at, names)
	if errors.Is(err, unix.ENOTSUP) || n == 0 {
		return nil
	}
	if err != nil {
		return os.NewSyscallError("listxattr", err)
	}
	var value []byte
	for name := range strings.SplitSeq(strings.TrimRight(string(names[:n]), "\x00"), "\x00") {
		if name != "security.capability" && (!strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "user.overlay.")) {
			continue
		}
		if value == nil {
			value = make([]byte, 64<<10) // XATTR_SIZE_MAX
		}
		n, err := unix.Getxattr(at, name, value)
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("getxattr", err)
		}
		h.PAXRecords["SCHILY.xattr."+name] = string(value[:n])
	}
	return nil
}

// unbindCapabilities makes the capabilities of a file those of any user namespace: what is set in a container's own bears the ID
// of its root (capabilities(7), "Namespaced file capabilities": version 3 is version 2 with that ID at its end).
func unbindCapabilities(h *tar.Header) {
	const key = "SCHILY.xattr.security.capability"
	const version2, version3, size2, size3 = 2, 3, 20, 24
	if v := []byte(h.PAXRecords[key]); len(v) == size3 && v[3] == version3 {
		v[3] = version2
		h.PAXRecords[key] = string(v[:size2])
	}
}

// zeros is a file's content that went while it was read.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// cancelReader ends with the context.
type cancelReader struct {
	ctx context.Context //nolint:containedctx // io.Reader has no other way to be told
	r   io.Reader
}

func (c *cancelReader) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
