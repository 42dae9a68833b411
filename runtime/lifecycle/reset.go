package lifecycle

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"ctr/rootfs"
	"ctr/runtime/container"
)

// Reset removes everything that the installation has made: containers, networks, links, tables, marks, cgroups, state. It goes
// on past errors, and can be called again. The roots themselves stay if they are not ours alone to remove (a mount point).
func (in *Installation) Reset(ctx context.Context) error {
	all, broken := in.Containers.List()
	var errs []error
	for _, c := range all {
		err := in.Remove(ctx, c, RemoveOptions{Force: true, Volumes: true})
		if !errors.Is(err, container.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	for range broken {
		// Its record cannot be read; its folders go with the roots, and what lives of it with its cgroup.
		errs = append(errs, in.killCgroups())
		break
	}
	errs = append(errs, in.Networks.Reset(ctx))
	in.Networks.Close()
	errs = append(errs, in.removeCgroups(ctx))
	for _, root := range []string{in.Roots.Run, in.Roots.Data} {
		errs = append(errs, emptyRoot(root))
	}
	return errors.Join(errs...)
}

// emptyRoot removes a root with everything in it; of one that cannot be removed, what is in it.
func emptyRoot(root string) error {
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		errs = append(errs, rootfs.RemoveAll(filepath.Join(root, e.Name())))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	os.Remove(root) // it may be somebody's mount point
	return nil
}
