package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ctr/internal/parallel"
	"ctr/rootfs"
)

// sweepTime is far more than a sweeper needs for a folder with nothing in it.
const sweepTime = 10 * time.Second

// Sweep deletes what commands that died have left half made or half removed. It takes no time when there is nothing.
func (s *Store) Sweep() error {
	entries, err := os.ReadDir(s.data)
	if err != nil {
		return fmt.Errorf("sweep containers: %w", err)
	}
	present := make(map[string]bool, len(entries))
	for _, e := range entries {
		present[e.Name()] = true
	}
	errs := make([]error, len(entries))
	parallel.For(len(entries), func(i int) { errs[i] = s.sweepFolder(entries[i].Name()) })
	return errors.Join(append(errs, s.sweepNames(present))...)
}

// sweepFolder deletes a container that was half made or half removed.
func (s *Store) sweepFolder(name string) error {
	if strings.HasPrefix(name, removedPrefix) {
		return rootfs.RemoveAll(filepath.Join(s.data, name))
	}
	if !isFullID(name) {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(s.data, name, specFile)); !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return s.sweepUnfinished(s.open(name))
}

// sweepNames drops the names that lead to no folder. Those that present holds were there a moment ago.
func (s *Store) sweepNames(present map[string]bool) error {
	entries, err := os.ReadDir(s.names)
	errs := []error{err}
	for _, e := range entries {
		id, err := os.Readlink(filepath.Join(s.names, e.Name()))
		if err == nil && !present[id] && !s.Exists(id) {
			errs = append(errs, s.dropStaleName(e.Name()))
		}
	}
	return errors.Join(errs...)
}

// sweepUnfinished deletes a container whose record was never written, unless its creator lives.
func (s *Store) sweepUnfinished(c *Container) error {
	lock, err := c.TryLock()
	if err != nil {
		return nil // its creator lives, or has just removed it
	}
	defer lock.Close()
	if _, err := os.Lstat(filepath.Join(c.Dir, specFile)); !errors.Is(err, os.ErrNotExist) {
		return nil // finished meanwhile
	}
	return s.discard(c)
}

// Abandoned is a run folder that nobody keeps.
type Abandoned struct {
	*Container       // with nothing but its ID and folders if Err is not nil
	Lock       *Lock // nil if there is no container to the run folder; it is closed after the call
	Err        error // why its record could not be read; ErrNotFound if there is no container
}

// Abandoned calls f, once at a time, for each run folder that nobody keeps: that of a container whose monitor was killed, and that
// of a container which has gone. A folder that somebody keeps costs two system calls.
func (s *Store) Abandoned(f func(Abandoned) error) error {
	entries, err := os.ReadDir(s.run)
	if err != nil {
		return fmt.Errorf("sweep run folders: %w", err)
	}
	errs := make([]error, len(entries))
	var one sync.Mutex
	parallel.For(len(entries), func(i int) {
		if a, ok := s.abandoned(entries[i].Name()); ok {
			one.Lock()
			defer one.Unlock()
			errs[i] = f(a)
			if a.Lock != nil {
				a.Lock.Close()
			}
		}
	})
	return errors.Join(errs...)
}

// abandoned looks whether somebody keeps a run folder.
func (s *Store) abandoned(name string) (a Abandoned, ok bool) {
	if !isFullID(name) {
		return a, false
	}
	c := s.open(name)
	c.ID = name
	lock, err := c.TryLock()
	switch {
	case err == nil:
		found, loadErr := s.Load(c.ID)
		if loadErr == nil {
			c = found
		}
		return Abandoned{Container: c, Lock: lock, Err: loadErr}, true
	case errors.Is(err, ErrNotFound):
		return Abandoned{Container: c, Err: err}, true
	}
	return a, false
}

// Salvage returns the container that is meant by its name, its ID or a prefix of that, with nothing but its ID and folders, if
// its record cannot be read, or is lost although it has run. It is good for removing it alone.
func (s *Store) Salvage(ref string) (*Container, error) {
	_, err := s.Find(ref)
	if _, ok := errors.AsType[*AmbiguousError](err); ok || err == nil {
		return nil, err
	}
	name := strings.TrimPrefix(ref, "/")
	if id, err := os.Readlink(filepath.Join(s.names, name)); err == nil && isFullID(id) {
		name = id
	}
	if !isHex(name) {
		return nil, err
	}
	ids, listErr := s.ids()
	if listErr != nil {
		return nil, listErr
	}
	for _, id := range ids {
		c := s.open(id)
		_, ran := os.Lstat(c.RunDir)
		if strings.HasPrefix(id, name) && (ran == nil || !errors.Is(err, ErrNotFound)) {
			c.ID = id
			return c, nil
		}
	}
	return nil, err
}

// IsID tells whether the text is a full ID.
func IsID(s string) bool { return isFullID(s) }

// MonitorsCgroup is the cgroup of all monitors, below the installation's.
const MonitorsCgroup = "monitors"

// ReservedCgroup tells whether a cgroup of that name, below the installation's, is one of its own: it is never a parent that
// somebody asked for.
func ReservedCgroup(name string) bool { return name == MonitorsCgroup || isFullID(name) }

// Exists tells whether there is a container with the full ID, be its record readable or not.
func (s *Store) Exists(id string) bool {
	_, err := os.Lstat(filepath.Join(s.data, id))
	return isFullID(id) && err == nil
}
