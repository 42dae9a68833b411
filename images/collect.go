package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"ctr/internal/durable"
)

// collect removes the blobs that no name leads to, and what dead writers left. It does nothing while anyone adds blobs: the
// last of them calls it again.
func (s *Store) collect() error {
	alone, err := os.Open(s.path(ingestDir))
	if err != nil {
		return fmt.Errorf("collect garbage: %w", err)
	}
	defer alone.Close()
	if err := unix.Flock(int(alone.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil
		}
		return fmt.Errorf("collect garbage: %w", os.NewSyscallError("flock", err))
	}
	// Tag and Remove change names without adding blobs: they wait.
	unlock, err := durable.Lock(s.dir)
	if err != nil {
		return err
	}
	defer unlock()
	index, err := s.readIndex()
	if err != nil {
		return err
	}
	needed, err := s.needed(index)
	if err != nil {
		return fmt.Errorf("collect garbage: %w", err)
	}
	return errors.Join(s.sweepBlobs(needed), s.sweepIngest(), s.sweepIndex())
}

// needed returns the digests of the blobs that the names lead to. If one cannot be read now, nothing may be removed.
func (s *Store) needed(index v1.Index) (map[string]bool, error) {
	needed := make(map[string]bool)
	for _, d := range index.Manifests {
		if err := s.mark(needed, d, maxNesting); err != nil {
			return nil, err
		}
	}
	return needed, nil
}

// mark adds what d leads to. Indexes that another program put here may lead to manifests that it did not bring.
func (s *Store) mark(needed map[string]bool, d v1.Descriptor, depth int) error {
	if err := checkDescriptor(d); err != nil {
		return err
	}
	if depth == 0 || needed[d.Digest.String()] {
		return nil
	}
	needed[d.Digest.String()] = true
	data, err := s.document(context.Background(), d)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, ErrInvalid) {
		return nil // an image that is damaged beyond use; what it had is fetched again when it is pulled again
	}
	if err != nil {
		return err
	}
	list, err := isIndex(data, d.MediaType)
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	if list {
		var i v1.Index
		if err := unmarshal(data, &i); err != nil {
			return err
		}
		for _, m := range i.Manifests {
			if err := s.mark(needed, m, depth-1); err != nil {
				return err
			}
		}
		return nil
	}
	var m v1.Manifest
	if err := unmarshal(data, &m); err != nil {
		return err
	}
	needed[m.Config.Digest.String()] = true
	for _, l := range m.Layers {
		needed[l.Digest.String()] = true
	}
	return nil
}

func (s *Store) sweepBlobs(needed map[string]bool) error {
	return s.sweep(blobsDir, func(name string) bool {
		return !needed["sha256:"+name]
	})
}

func (s *Store) sweepIngest() error {
	now := time.Now()
	return s.sweep(ingestDir, func(name string) bool {
		return stale(filepath.Join(s.path(ingestDir), name), now)
	})
}

// sweepIndex removes what a writer of index.json left that died before its rename.
func (s *Store) sweepIndex() error {
	return s.sweep(".", func(name string) bool {
		return strings.HasPrefix(name, "."+indexFile+".") && strings.HasSuffix(name, tempSuffix)
	})
}

// sweep removes the entries of a folder that are garbage.
func (s *Store) sweep(dir string, garbage func(name string) bool) error {
	entries, err := os.ReadDir(s.path(dir))
	if err != nil {
		return fmt.Errorf("collect garbage: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if garbage(e.Name()) {
			errs = append(errs, os.RemoveAll(filepath.Join(s.path(dir), e.Name())))
		}
	}
	return errors.Join(errs...)
}
