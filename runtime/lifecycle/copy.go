package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"ctr/images"
	"ctr/internal/idmap"
	"ctr/rootfs"
	"ctr/rootfs/inroot"
	"ctr/rootfs/pack"
	"ctr/rootfs/unpack"
	"ctr/runtime/container"
)

// CopyOptions are those of `cp`.
type CopyOptions struct {
	Archive    bool // keep owners; else what is copied belongs to root in the container, and to the caller on the host
	FollowLink bool // of the source path itself
}

// ErrNoSuchFile is returned when the source of a copy is not there, or the folder that the copy goes to.
var ErrNoSuchFile = errors.New("no such file or directory")

// CopyOut copies a file or folder of a container to the host, by Docker's rules for what the copy is called, and returns how
// many bytes the files had as an archive. On error a part may have been copied.
func (in *Installation) CopyOut(ctx context.Context, c *container.Container, from, to string, o CopyOptions) (n int64, err error) {
	defer func() { in.notifyCopied(c, "archive-path", from, err) }()
	err = in.withFiles(ctx, c, func(root *inroot.Root) error {
		source, err := openSource(root, from, o.FollowLink)
		if err != nil {
			return inContainer(c, from, err)
		}
		defer source.file.Close()
		host, err := inroot.Open("/")
		if err != nil {
			return err
		}
		defer host.Close()
		t, err := findTarget(host, to, source)
		if err != nil {
			return fmt.Errorf("copy to %q: %w", to, bare(err))
		}
		// What the container named stays below the folder that the user named.
		dir, err := inroot.Open(path.Join("/", t.dir))
		if err != nil {
			return err
		}
		defer dir.Close()
		into := unpack.IntoOptions{Owner: &[2]int{os.Getuid(), os.Getgid()}, NoDevices: true}
		if o.Archive {
			into = unpack.IntoOptions{}
		}
		n, err = transfer(ctx, source, t.name, c.IDs, func(r io.Reader) error { return unpack.Into(ctx, dir, "", r, into) })
		return err
	})
	return n, err
}

// CopyIn copies a file or folder of the host into a container.
func (in *Installation) CopyIn(ctx context.Context, c *container.Container, from, to string, o CopyOptions) (int64, error) {
	host, err := inroot.Open("/")
	if err != nil {
		return 0, err
	}
	defer host.Close()
	source, err := openSource(host, from, o.FollowLink)
	if err != nil {
		return 0, fmt.Errorf("copy %q: %w", from, bare(err))
	}
	defer source.file.Close()
	var n int64
	err = in.withFiles(ctx, c, func(root *inroot.Root) error {
		t, err := findTarget(root, to, source)
		if err != nil {
			return inContainer(c, to, err)
		}
		into := unpack.IntoOptions{Owner: &[2]int{0, 0}, IDs: c.IDs}
		if o.Archive {
			into.Owner = nil
		}
		n, err = transfer(ctx, source, t.name, idmap.Map{}, func(r io.Reader) error {
			return rootfs.WithOwner(c.IDs, func() error { return unpack.Into(ctx, root, t.dir, r, into) })
		})
		return readOnly(c, to, err)
	})
	in.notifyCopied(c, "extract-to-dir", to, err)
	return n, err
}

// ReadArchive writes a file or folder of a container as a tar archive.
func (in *Installation) ReadArchive(ctx context.Context, c *container.Container, from string, w io.Writer, o CopyOptions) (err error) {
	defer func() { in.notifyCopied(c, "archive-path", from, err) }()
	return in.withFiles(ctx, c, func(root *inroot.Root) error {
		source, err := openSource(root, from, o.FollowLink)
		if err != nil {
			return inContainer(c, from, err)
		}
		defer source.file.Close()
		name := source.base
		if source.content {
			name = "."
		}
		return source.pack(ctx, w, name, c.IDs)
	})
}

// WriteArchive unpacks a tar archive, compressed or not, into a folder of a container; its files keep their owners.
func (in *Installation) WriteArchive(ctx context.Context, c *container.Container, to string, r io.Reader) (err error) {
	defer func() { in.notifyCopied(c, "extract-to-dir", to, err) }()
	plain, err := images.Decompress(r)
	if err != nil {
		return err
	}
	defer plain.Close()
	return in.withFiles(ctx, c, func(root *inroot.Root) error {
		dir, err := root.OpenDir(to)
		if errors.Is(err, unix.ENOTDIR) {
			return fmt.Errorf("destination \"%s:%s\" must be a directory", c.Name, to)
		}
		if err != nil {
			return inContainer(c, to, err)
		}
		dir.Close()
		return readOnly(c, to, rootfs.WithOwner(c.IDs, func() error {
			return unpack.Into(ctx, root, to, plain, unpack.IntoOptions{IDs: c.IDs})
		}))
	})
}

// notifyCopied writes in the journal that something was copied, unless it was not.
func (in *Installation) notifyCopied(c *container.Container, action, path string, err error) {
	if err == nil {
		in.Notify(c, action, "path", path)
	}
}

// inContainer words what is wrong with a path in a container, as Docker does.
func inContainer(c *container.Container, name string, err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, ErrNoSuchFile) {
		return &noFileError{fmt.Sprintf("Could not find the file %s in container %s", name, c.Name)}
	}
	return fmt.Errorf("copy \"%s:%s\": %w", c.Name, name, bare(err))
}

// bare is what went wrong with a path, where the message names the path as it was typed.
func bare(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}

type noFileError struct{ text string }

func (e *noFileError) Error() string { return e.text }
func (e *noFileError) Unwrap() error { return ErrNoSuchFile }

// readOnly says why nothing can be written.
func readOnly(c *container.Container, name string, err error) error {
	if errors.Is(err, unix.EROFS) {
		return fmt.Errorf("copy to \"%s:%s\": container rootfs or mounted volume is marked read-only", c.Name, name)
	}
	return err
}

// source is what is copied, held open.
type source struct {
	file    *os.File // O_PATH
	base    string   // what it is called; "" for the root
	isDir   bool
	content bool // a folder's content, not the folder: its path ended in /.
}

// openSource opens what a path leads to. A link at its end is followed only if asked, or if the path says that it is a folder.
func openSource(root *inroot.Root, name string, follow bool) (source, error) {
	s := source{base: path.Base(path.Clean("/" + name))}
	if s.base == "/" {
		s.base = ""
	}
	asDir := strings.HasSuffix(name, "/") || path.Base(name) == "." || path.Base(name) == ".." || s.base == ""
	flags := unix.O_PATH
	if !follow && !asDir {
		flags |= unix.O_NOFOLLOW
	}
	f, err := root.Open(name, flags, 0)
	if err != nil {
		return s, err
	}
	s.file = f
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close()
		return s, os.NewSyscallError("fstat", err)
	}
	s.isDir = st.Mode&unix.S_IFMT == unix.S_IFDIR
	if asDir && !s.isDir {
		f.Close()
		return s, unix.ENOTDIR
	}
	s.content = s.isDir && (strings.HasSuffix(name, "/.") || name == "." || s.base == "")
	return s, nil
}

// pack writes it as an archive, with the owners that a container with the IDs sees.
func (s source) pack(ctx context.Context, w io.Writer, name string, ids idmap.Map) error {
	p := pack.New(ctx, w)
	p.IDs = ids
	if err := p.Tree(s.file, name); err != nil {
		return err
	}
	return p.Close()
}

// target is where a copy goes: its folder, which exists, and its name in there.
type target struct{ dir, name string }

// maxLinks is how many symbolic links one path may have, as for the kernel.
const maxLinks = 40

// findTarget decides where a copy goes. Into a folder that exists it goes under its own name; what does not exist is its new
// name. A link to nothing is followed, since that is what a shell's redirection does.
func findTarget(root *inroot.Root, name string, s source) (target, error) {
	wantsDir := strings.HasSuffix(name, "/") || path.Base(name) == "." || path.Base(name) == ".."
	for range maxLinks {
		f, err := root.Open(name, unix.O_PATH, 0)
		if err == nil {
			defer f.Close()
			return existingTarget(f, name, s, wantsDir)
		}
		if !errors.Is(err, unix.ENOENT) {
			return target{}, err
		}
		if wantsDir && !s.isDir {
			return target{}, &noFileError{"no such directory"}
		}
		dir, base, err := root.Parent(name)
		if errors.Is(err, unix.ENOENT) {
			return target{}, &noFileError{fmt.Sprintf("directory %q does not exist", path.Dir(path.Clean(name)))}
		}
		if err != nil {
			return target{}, err
		}
		link, err := inroot.Readlink(dir, base)
		dir.Close()
		if err != nil {
			return target{path.Dir(strings.TrimRight(name, "/")), base}, nil
		}
		if !path.IsAbs(link) {
			link = path.Join(path.Dir(name), link)
		}
		name = link
	}
	return target{}, unix.ELOOP
}

func existingTarget(f *os.File, name string, s source, wantsDir bool) (target, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return target{}, os.NewSyscallError("fstat", err)
	}
	isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	switch {
	case isDir && s.content:
		return target{name, "."}, nil
	case isDir:
		return target{name, s.base}, nil
	case wantsDir:
		return target{}, errors.New("not a directory")
	case s.isDir:
		return target{}, errors.New("cannot copy directory")
	}
	return target{path.Dir(name), path.Base(name)}, nil
}

// transfer packs on one side while the other unpacks. It returns how many bytes went over.
func transfer(ctx context.Context, s source, name string, ids idmap.Map, unpack func(io.Reader) error) (int64, error) {
	r, w := io.Pipe()
	var packed error
	done := make(chan struct{})
	go func() { // descriptors work on any thread, whichever mounts it sees
		defer close(done)
		packed = s.pack(ctx, w, name, ids)
		w.CloseWithError(packed) // io.EOF without an error
	}()
	count := &counter{r: r}
	err := unpack(count)
	r.CloseWithError(err) // ends the packer, if unpacking has failed
	<-done
	if packed != nil && !errors.Is(packed, io.ErrClosedPipe) && !errors.Is(err, packed) && err == nil {
		err = packed
	}
	return count.n, err
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
