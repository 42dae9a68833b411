package installation

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ctr/internal/cgroupfs"
	"ctr/internal/durable"
	"ctr/runtime/container"
)

// CgroupParent returns the cgroup below which those of the containers are, relative to each hierarchy.
func (in *Installation) CgroupParent() string {
	if in.Tag == "" {
		return "/ctr"
	}
	return "/ctr-" + in.Tag
}

// Cgroup returns the cgroup of a container, relative to each hierarchy.
func (in *Installation) Cgroup(c *container.Container) string { return path.Join(in.parentOf(c), c.ID) }

// parentOf returns the cgroup above a container's: what --cgroup-parent names, an absolute path or one below our own.
func (in *Installation) parentOf(c *container.Container) string {
	if asked := c.Resources.CgroupParent; path.IsAbs(asked) {
		return path.Clean(asked)
	} else if asked != "" {
		return path.Join(in.CgroupParent(), asked)
	}
	return in.CgroupParent()
}

// KeepCgroupParent is called before the cgroup of a container is made, and done when it is there: until then an empty parent
// is not taken away. Cgroups above it that are below ours, or do not exist yet, are written down as made by us: those that
// somebody else has made are left to them.
func (in *Installation) KeepCgroupParent(c *container.Container) (done func(), err error) {
	if c.Resources.CgroupParent == "" {
		return func() {}, nil
	}
	lock, err := in.lockCgroupParents(unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	for p := in.parentOf(c); p != "/" && p != in.CgroupParent() && (in.ownCgroup(p) || len(cgroupfs.Dirs(p)) == 0); p = path.Dir(p) {
		f, err := os.OpenFile(in.parentMark(p), os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			lock.Close()
			return nil, fmt.Errorf("write down cgroup %q: %w", p, err)
		}
		f.Close()
	}
	return func() { lock.Close() }, nil
}

// ReleaseCgroupParents removes the cgroups that were made to hold those of containers and are empty now.
func (in *Installation) ReleaseCgroupParents() error {
	parents := in.CgroupParents()
	if len(parents) == 1 {
		return nil // our own, which stays
	}
	lock, err := in.lockCgroupParents(unix.LOCK_EX | unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil // a container that has such a parent starts: its end looks again
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	parents = in.CgroupParents() // again: now nobody makes another one
	// The deepest first.
	slices.SortFunc(parents, func(a, b string) int { return cmp.Compare(strings.Count(b, "/"), strings.Count(a, "/")) })
	var errs []error
	for _, p := range parents {
		if p == in.CgroupParent() {
			continue
		}
		err := removeCgroup(p)
		if err == nil {
			err = os.Remove(in.parentMark(p))
		}
		if err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove cgroup %q: %w", p, err))
		}
	}
	return errors.Join(errs...)
}

// CgroupParents returns the cgroups that those of containers may be in: ours, and what was made because it was asked for. It
// reads what was written down, and not the hierarchies, which hold every container ten times with cgroup v1.
func (in *Installation) CgroupParents() []string {
	parents := []string{in.CgroupParent()}
	marks, _ := os.ReadDir(in.parentMarks())
	for _, m := range marks {
		if p, err := url.PathUnescape(m.Name()); err == nil && p != in.CgroupParent() {
			parents = append(parents, p)
		}
	}
	slices.Sort(parents)
	return parents
}

func (in *Installation) ownCgroup(p string) bool {
	return p == in.CgroupParent() || strings.HasPrefix(p, in.CgroupParent()+"/")
}

func (in *Installation) parentMarks() string { return filepath.Join(in.Roots.Run, "cgroups") }

// parentMark is the file that says that a cgroup was made by us.
func (in *Installation) parentMark(p string) string {
	return filepath.Join(in.parentMarks(), url.PathEscape(p))
}

// lockCgroupParents keeps the folder of the marks; closing the file lets it go.
func (in *Installation) lockCgroupParents(how int) (*os.File, error) {
	if err := os.MkdirAll(in.parentMarks(), 0o700); err != nil {
		return nil, fmt.Errorf("lock cgroups: %w", err)
	}
	fd, err := durable.OpenLocked(in.parentMarks(), how)
	if err != nil {
		return nil, fmt.Errorf("lock cgroups: %w", err)
	}
	return os.NewFile(uintptr(fd), in.parentMarks()), nil
}

// removeCgroup removes a cgroup that nothing is in from all hierarchies.
func removeCgroup(p string) error {
	for _, dir := range cgroupfs.Dirs(p) {
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return nil
}
