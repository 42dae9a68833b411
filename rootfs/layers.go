package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ctr/internal/durable"
	"ctr/internal/span"
	"ctr/rootfs/inroot"
	"ctr/rootfs/unpack"
)

// tmpPrefix begins the names of layers that are not ready.
const tmpPrefix = ".tmp-"

// Layers are the unpacked layers of one installation. Its methods may be called by any number of processes at once. A chain
// ID is "sha256:" and 64 hexadecimal digits; the prefix may be left out.
type Layers struct {
	dir string
}

// OpenLayers opens the folder of layers, and makes it if it is missing.
func OpenLayers(dir string) (*Layers, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open layers: %w", err)
	}
	return &Layers{dir: dir}, nil
}

// nameOf turns a chain ID into the name of its folder.
func nameOf(chainID string) (string, error) {
	name := strings.TrimPrefix(chainID, "sha256:")
	if !isLayerName(name) {
		return "", fmt.Errorf("malformed chain ID %q", chainID)
	}
	return name, nil
}

// isLayerName tells whether a name is 64 hexadecimal digits in lower case, and so no path.
func isLayerName(name string) bool {
	return len(name) == 64 && strings.Trim(name, "0123456789abcdef") == ""
}

// Path returns the folder of a layer, which is an overlay's lowerdir, whether it is there or not. It is empty if the chain
// ID is malformed.
func (l *Layers) Path(chainID string) string {
	name, err := nameOf(chainID)
	if err != nil {
		return ""
	}
	return filepath.Join(l.dir, name)
}

// Paths returns those of several layers, in their order.
func (l *Layers) Paths(chainIDs []string) []string {
	paths := make([]string, len(chainIDs))
	for i, id := range chainIDs {
		paths[i] = l.Path(id)
	}
	return paths
}

// Has tells whether a layer is there. One that is there is whole.
func (l *Layers) Has(chainID string) bool {
	path := l.Path(chainID)
	if path == "" {
		return false
	}
	var st unix.Stat_t
	return unix.Lstat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// List returns the chain IDs of all layers, sorted.
func (l *Layers) List() ([]string, error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, fmt.Errorf("list layers: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && isLayerName(e.Name()) {
			ids = append(ids, "sha256:"+e.Name())
		}
	}
	return ids, nil
}

// Unpack makes a layer of an uncompressed tar archive. A nil error means that the layer is there, and survives a crash of
// the machine; it may have been there before, and then the archive is not read. Otherwise the archive is read to its end,
// so that a reader that verifies a digest has had its say. On error, a killed process and a full disk included, there is
// no such layer. When several unpack the same layer, one does and the others wait.
//
// The chain IDs of the layers below, the base first, may be given: folders that the archive does not list but has files in
// then look like those of the layers below, rather than belonging to root with mode 0755.
//
// It returns ErrArchive and ErrLimit, and an error with a hint that wraps unix.ENOSPC.
func (l *Layers) Unpack(ctx context.Context, chainID string, archive io.Reader, lower ...string) error {
	name, err := nameOf(chainID)
	if err != nil {
		return fmt.Errorf("unpack layer: %w", err)
	}
	if l.Has(name) {
		return nil
	}
	_ = l.Sweep() // what cannot be removed is no reason not to make another layer; the next one tries again
	if err := l.unpack(ctx, name, archive, lower); err != nil {
		return fmt.Errorf("unpack layer %.12s: %w", name, diskFull(l.dir, err))
	}
	return nil
}

func (l *Layers) unpack(ctx context.Context, name string, archive io.Reader, lower []string) (err error) {
	defer span.Begin("unpack layer").End()
	tmp, err := l.reserve(ctx, name)
	if err != nil {
		return err
	}
	defer tmp.Close()
	if l.Has(name) {
		return l.discard(tmp)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.discard(tmp))
		}
	}()
	if err := inroot.Empty(tmp.File()); err != nil { // what a killed process left
		return err
	}
	options := unpack.Options{}
	for _, id := range lower {
		if path := l.Path(id); path != "" {
			options.Lower = append(options.Lower, path)
		}
	}
	if err := unpack.Unpack(ctx, tmp, archive, options); err != nil {
		return err
	}
	// The rename must not survive a crash that the files do not (ext4 writes them later).
	writing := span.Begin("write to disk")
	err = unix.Syncfs(tmp.Fd())
	writing.End()
	if err != nil {
		return os.NewSyscallError("syncfs", err)
	}
	if err := os.Rename(tmp.File().Name(), filepath.Join(l.dir, name)); err != nil {
		return err
	}
	return durable.SyncDir(l.dir)
}

// Remove removes a layer; none there is good. The caller knows that no container uses it.
func (l *Layers) Remove(chainID string) error {
	name, err := nameOf(chainID)
	if err != nil {
		return fmt.Errorf("remove layer: %w", err)
	}
	if !l.Has(name) {
		return nil
	}
	tmp, err := l.reserve(context.Background(), name)
	if err != nil {
		return fmt.Errorf("remove layer %.12s: %w", name, err)
	}
	defer tmp.Close()
	// One rename takes it out of sight; what is killed after that is swept.
	err = os.Rename(filepath.Join(l.dir, name), filepath.Join(tmp.File().Name(), "removed"))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if err := errors.Join(err, l.discard(tmp), l.forgetSize(name+sizeSuffix)); err != nil {
		return fmt.Errorf("remove layer %.12s: %w", name, err)
	}
	return nil
}

// Sweep removes what killed processes left. It does not touch what a living one works on.
func (l *Layers) Sweep() error {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return fmt.Errorf("sweep layers: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tmpPrefix) {
			errs = append(errs, l.forgetSize(e.Name()))
			continue
		}
		tmp, err := inroot.Open(filepath.Join(l.dir, e.Name()))
		if err != nil {
			continue // its owner was faster
		}
		if unix.Flock(tmp.Fd(), unix.LOCK_EX|unix.LOCK_NB) == nil && l.names(tmp) {
			errs = append(errs, l.discard(tmp))
		}
		tmp.Close()
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sweep layers: %w", err)
	}
	return nil
}

// reserve takes the temporary folder of a layer, and waits for whoever has it. It belongs to the caller until it is closed:
// the folder itself is what is locked, so that no lock is left when it becomes the layer.
func (l *Layers) reserve(ctx context.Context, name string) (*inroot.Root, error) {
	path := filepath.Join(l.dir, tmpPrefix+name)
	for {
		if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, err
		}
		tmp, err := inroot.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // it was renamed or removed just now
		}
		if err != nil {
			return nil, err
		}
		if err := lock(ctx, tmp); err != nil {
			tmp.Close()
			return nil, err
		}
		if l.names(tmp) {
			return tmp, nil
		}
		tmp.Close() // it became the layer, or was removed, while we waited
	}
}

// lock waits for a flock(2), and no longer than the context.
func lock(ctx context.Context, r *inroot.Root) error {
	if unix.Flock(r.Fd(), unix.LOCK_EX|unix.LOCK_NB) == nil {
		return nil
	}
	fd, err := unix.FcntlInt(uintptr(r.Fd()), unix.F_DUPFD_CLOEXEC, 0) // the same lock, for the goroutine alone to close
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	locked := make(chan error, 1)
	go func() {
		defer unix.Close(fd)
		locked <- durable.Flock(fd, unix.LOCK_EX)
	}()
	select {
	case err := <-locked:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// names tells whether the path that an open temporary folder was opened by still leads to it.
func (l *Layers) names(tmp *inroot.Root) bool {
	var open, named unix.Stat_t
	return unix.Fstat(tmp.Fd(), &open) == nil && unix.Lstat(tmp.File().Name(), &named) == nil &&
		open.Dev == named.Dev && open.Ino == named.Ino
}

// discard removes a temporary folder that the caller has reserved.
func (l *Layers) discard(tmp *inroot.Root) error {
	if err := inroot.Empty(tmp.File()); err != nil {
		return err
	}
	return os.Remove(tmp.File().Name())
}
