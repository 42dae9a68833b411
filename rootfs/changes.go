package rootfs

import (
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
	"ctr/rootfs/pack"
)

// Kind is what happened to a file.
type Kind byte

// The kinds, as `docker diff` writes them.
const (
	Changed Kind = 'C'
	Added   Kind = 'A'
	Deleted Kind = 'D'
)

// Change is one file that is not as in the layers below.
type Change struct {
	Kind Kind
	Path string // from the root on, with a leading slash
}

// maxChangeDepth bounds the descriptors that a comparison holds open, two a folder.
const maxChangeDepth = 1000

// Changes compares the upper folder of an overlay with what the layers below show, an open folder; none: nothing. What
// PrepareInitLayer made is no change. The owners in upper are those of a container with the IDs. The result is sorted by path.
func Changes(upper string, lower *os.File, ids idmap.Map) ([]Change, error) {
	root, err := os.Open(upper)
	if err != nil {
		return nil, fmt.Errorf("compare layers: %w", err)
	}
	defer root.Close()
	c := comparison{ids: ids}
	if err := c.dir(root, lower, "", 0); err != nil {
		return nil, fmt.Errorf("compare layers: %w", err)
	}
	slices.SortFunc(c.found, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return c.found, nil
}

type comparison struct {
	ids   idmap.Map
	found []Change
}

func (c *comparison) add(kind Kind, name string) { c.found = append(c.found, Change{kind, "/" + name}) }

// dir compares what is in two folders.
func (c *comparison) dir(upper, lower *os.File, name string, depth int) error {
	if depth > maxChangeDepth {
		return fmt.Errorf("%q: %w", name, pack.ErrTooDeep)
	}
	names, err := upper.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, base := range names {
		if err := c.entry(upper, lower, base, path.Join(name, base), depth); err != nil {
			return err
		}
	}
	if lower == nil || !isOpaque(upper) {
		return nil
	}
	below, err := lower.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, base := range below {
		if _, kept := slices.BinarySearch(names, base); !kept {
			c.add(Deleted, path.Join(name, base))
		}
	}
	return nil
}

func (c *comparison) entry(upper, lower *os.File, base, name string, depth int) error {
	now, err := stat(upper, base)
	if errors.Is(err, unix.ENOENT) {
		return nil // the container runs, and has just removed it
	}
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	var before unix.Stat_t
	existed := false
	if lower != nil {
		before, err = stat(lower, base)
		if existed = err == nil; err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	switch {
	case now.Mode&unix.S_IFMT == unix.S_IFCHR && now.Rdev == 0:
		if existed {
			c.add(Deleted, name)
		}
		return nil
	case now.Mode&unix.S_IFMT == unix.S_IFDIR:
		return c.subdir(upper, lower, base, name, depth, now, before, existed)
	case pristine(upper, base, name, now):
	case existed:
		c.add(Changed, name)
	default:
		c.add(Added, name)
	}
	return nil
}

// subdir compares a folder: it has changed if something in it has, or its owner or mode.
func (c *comparison) subdir(upper, lower *os.File, base, name string, depth int, now, before unix.Stat_t, existed bool) error {
	dir, err := openSub(upper, base)
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	defer dir.Close()
	var below *os.File
	wasDir := existed && before.Mode&unix.S_IFMT == unix.S_IFDIR
	if wasDir {
		if below, err = openSub(lower, base); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		defer below.Close()
	}
	known := len(c.found)
	if err := c.dir(dir, below, name, depth+1); err != nil {
		return err
	}
	quiet := len(c.found) == known
	uid, gid := c.ids.Inside(int(now.Uid), int(now.Gid))
	same := now.Mode == before.Mode && uid == int(before.Uid) && gid == int(before.Gid)
	switch {
	case wasDir && same && quiet, quiet && slices.Contains(initDirs, name):
	case existed:
		c.add(Changed, name)
	default:
		c.add(Added, name)
	}
	return nil
}

// pristine tells whether a file is one that PrepareInitLayer made, and nobody has touched.
func pristine(dir *os.File, base, name string, st unix.Stat_t) bool {
	if name == initLink {
		target, err := inroot.Readlink(dir, base)
		return err == nil && target == initLinkTarget
	}
	return slices.Contains(initFiles, name) && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == 0
}

func stat(dir *os.File, base string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(int(dir.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

func openSub(dir *os.File, base string) (*os.File, error) {
	return inroot.FromFile(dir).Open(base, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}

// PackChanges writes changes as the archive of a layer (image-spec, layer.md), with the files of the upper folder. What has
// gone since is left out.
func PackChanges(ctx context.Context, w io.Writer, upper string, changes []Change, ids idmap.Map) error {
	root, err := inroot.Open(upper)
	if err != nil {
		return fmt.Errorf("pack layer: %w", err)
	}
	defer root.Close()
	p := pack.New(ctx, w)
	p.IDs = ids
	for _, change := range changes {
		if err := packChange(p, root, change); err != nil {
			return fmt.Errorf("pack layer: %w", err)
		}
	}
	return p.Close()
}

func packChange(p *pack.Packer, root *inroot.Root, change Change) error {
	name := strings.TrimPrefix(change.Path, "/")
	if change.Kind == Deleted {
		return p.Whiteout(name, time.Now())
	}
	f, err := root.Open(name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = p.One(f, name)
	return err
}
