package container

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ctr/internal/durable"
	"ctr/internal/parallel"
	"ctr/rootfs"
)

// validName tells whether Docker takes the name of a container, [a-zA-Z0-9][a-zA-Z0-9_.-]+. (A regular expression would be
// compiled at each start of each process.)
func validName(name string) bool { return len(name) > 1 && plainName(name) }

// plainName tells whether all of a name are ASCII letters, digits, '_', '.' and '-', the latter three not at its begin.
func plainName(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
		if !letter && (i == 0 || c != '_' && c != '.' && c != '-') {
			return false
		}
	}
	return true
}

// Store is the containers of one installation.
type Store struct {
	data  string // <data root>/containers
	run   string // <run root>/containers
	names string // <data root>/names/containers
}

// OpenStore opens the containers below a pair of roots, and makes the folders that are missing.
func OpenStore(dataRoot, runRoot string) (*Store, error) {
	s := &Store{
		data:  filepath.Join(dataRoot, "containers"),
		run:   filepath.Join(runRoot, "containers"),
		names: filepath.Join(dataRoot, "names", "containers"),
	}
	for _, dir := range []string{s.data, s.run, s.names} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open containers: %w", err)
		}
	}
	return s, nil
}

// RunRoot returns the folder that holds the run folders of all containers; libcontainer keeps its state there.
func (s *Store) RunRoot() string { return s.run }

// NewID returns a random ID: 64 hexadecimal digits. As in Docker its first 12 never are all decimal, since such a short ID
// as a host name would look like a number to some programs.
func NewID() string {
	var b [32]byte
	for {
		rand.Read(b[:]) // never fails: crypto/rand
		id := hex.EncodeToString(b[:])
		if strings.ContainsAny(id[:12], "abcdef") {
			return id
		}
	}
}

// ValidateName returns ErrInvalidName, wrapped, unless the name is one that Docker takes.
func ValidateName(name string) error {
	if !validName(name) || len(name) > 255 {
		return fmt.Errorf("%w (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", ErrInvalidName, name)
	}
	return nil
}

// open returns the container with the ID, without looking whether it exists.
func (s *Store) open(id string) *Container {
	return &Container{Dir: filepath.Join(s.data, id), RunDir: filepath.Join(s.run, id)}
}

// Load reads the container with the full ID. It returns ErrNotFound if there is none, durable.ErrDamaged if its record
// cannot be read.
func (s *Store) Load(id string) (*Container, error) {
	c := s.open(id)
	err := durable.ReadJSON(filepath.Join(c.Dir, specFile), &c.Spec)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, notFound(id)
	case err != nil:
		return nil, fmt.Errorf("load container %s: %w", Short(id), err)
	case c.Version > SpecVersion:
		return nil, fmt.Errorf("load container %s: its record has version %d, this ctr knows %d: use a newer ctr", Short(id), c.Version, SpecVersion)
	case c.ID != id:
		return nil, fmt.Errorf("load container %s: %w: it holds the record of %q", Short(id), durable.ErrDamaged, c.ID)
	}
	return c, nil
}

// Find returns the container that a user means: by its ID, by its name (with or without a leading slash), or by a prefix of
// its ID. It returns ErrNotFound, an *AmbiguousError that lists the candidates, or, for an empty name, neither.
func (s *Store) Find(ref string) (*Container, error) {
	if ref == "" {
		return nil, errEmptyRef
	}
	name := strings.TrimPrefix(ref, "/")
	if isFullID(name) {
		if c, err := s.Load(name); err == nil || !errors.Is(err, ErrNotFound) {
			return c, err
		}
	}
	if validName(name) {
		if id, err := os.Readlink(filepath.Join(s.names, name)); err == nil {
			c, err := s.Load(id)
			if err == nil && c.Name == name || err != nil && !errors.Is(err, ErrNotFound) {
				return c, err
			}
		}
	}
	return s.findPrefix(ref)
}

func (s *Store) findPrefix(ref string) (*Container, error) {
	if !isHex(ref) {
		return nil, notFound(ref)
	}
	ids, err := s.ids()
	if err != nil {
		return nil, err
	}
	var found []string
	for _, id := range ids {
		if strings.HasPrefix(id, ref) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 0:
		return nil, notFound(ref)
	case 1:
		return s.Load(found[0])
	}
	amb := &AmbiguousError{Prefix: ref}
	for _, id := range found {
		if c, err := s.Load(id); err == nil {
			amb.Candidates = append(amb.Candidates, c.Name+" ("+c.ShortID()+")")
		} else {
			amb.Candidates = append(amb.Candidates, Short(id))
		}
	}
	return nil, amb
}

// List returns all containers, the newest first, and apart from them the error of each record that cannot be read: one
// broken container never hides the others.
func (s *Store) List() (all []*Container, broken []error) {
	ids, err := s.ids()
	if err != nil {
		return nil, []error{err}
	}
	loaded, errs := make([]*Container, len(ids)), make([]error, len(ids))
	parallel.For(len(ids), func(i int) { loaded[i], errs[i] = s.Load(ids[i]) })
	for i, c := range loaded {
		switch err := errs[i]; {
		case err == nil:
			all = append(all, c)
		case !errors.Is(err, ErrNotFound): // it is being made, or has just gone
			broken = append(broken, err)
		}
	}
	slices.SortFunc(all, func(a, b *Container) int { return b.Created.Compare(a.Created) })
	return all, broken
}

func (s *Store) ids() ([]string, error) {
	entries, err := os.ReadDir(s.data)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if isFullID(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// Create makes the folders of a container and takes its name; fill then prepares what else belongs to it (its writable
// layer), and the record is written last, so that a container is there whole or not at all. The spec must have an ID and a
// name. It returns a *ConflictError if the name is taken. On error nothing is left behind.
func (s *Store) Create(spec Spec, fill func(*Container) error) (_ *Container, err error) {
	if err := ValidateName(spec.Name); err != nil {
		return nil, err
	}
	c := s.open(spec.ID)
	c.Spec = spec
	lock, err := s.makeFolder(c)
	if err != nil {
		return nil, fmt.Errorf("create container: %w", err)
	}
	defer lock.Close()
	defer func() {
		if err != nil {
			err = errors.Join(err, s.discard(c))
		}
	}()
	if err := s.takeName(spec.Name, spec.ID); err != nil {
		return nil, err
	}
	if err := fill(c); err != nil {
		return nil, err
	}
	if err := durable.WriteJSON(filepath.Join(c.Dir, specFile), c.Spec, durable.Sync(!spec.AutoRemove)); err != nil {
		return nil, fmt.Errorf("create container: %w", err)
	}
	return c, nil
}

// makeFolder makes the folder of a new container and takes its lock. A sweeper that finds it before it is locked takes it for
// the rest of a dead creator, and removes it: it is made once more then.
func (s *Store) makeFolder(c *Container) (*Lock, error) {
	ctx, cancel := context.WithTimeout(context.Background(), sweepTime)
	defer cancel()
	for {
		if err := os.Mkdir(c.Dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, err
		}
		lock, err := c.Lock(ctx)
		if err == nil {
			return lock, nil
		}
		if !errors.Is(err, ErrNotFound) {
			return nil, errors.Join(err, s.discard(c))
		}
	}
}

// takeName makes a name point to an ID. A name whose container is gone, or was never finished by a creator that has died, is
// taken over.
func (s *Store) takeName(name, id string) error {
	path := filepath.Join(s.names, name)
	for range 3 {
		err := os.Symlink(id, path)
		if err == nil {
			return nil
		}
		if !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("take name %q: %w", name, err)
		}
		holder, err := os.Readlink(path)
		if err != nil {
			continue // it went in between
		}
		if s.holds(holder, name) {
			return &ConflictError{Name: name, Holder: holder}
		}
		if err := s.dropStaleName(name); err != nil {
			return err
		}
	}
	return fmt.Errorf("take name %q: %w", name, ErrBusy)
}

// holds tells whether the container exists under that name, or is being made by a live process.
func (s *Store) holds(id, name string) bool {
	c, err := s.Load(id)
	if err == nil {
		return c.Name == name
	}
	if !errors.Is(err, ErrNotFound) {
		return true // damaged, but there
	}
	lock, err := s.open(id).TryLock()
	if err != nil {
		return errors.Is(err, ErrBusy) // its creator lives
	}
	lock.Close()
	return false
}

// dropStaleName removes a name that leads to nothing. The folder's lock keeps two finders from removing each other's new one.
func (s *Store) dropStaleName(name string) error {
	unlock, err := durable.Lock(s.names)
	if err != nil {
		return err
	}
	defer unlock()
	path := filepath.Join(s.names, name)
	holder, err := os.Readlink(path)
	if err != nil || s.holds(holder, name) {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("drop stale name %q: %w", name, err)
	}
	if !isFullID(holder) {
		return nil
	}
	return s.sweepUnfinished(s.open(holder)) // a finished one has another name: its renaming was interrupted
}

// Rename gives a container another name. It returns a *ConflictError if that is taken. The names' lock keeps a finder of stale
// names from taking the new name for one before the record holds it.
func (s *Store) Rename(c *Container, name string) error {
	if err := ValidateName(name); err != nil {
		return err
	}
	unlock, err := durable.Lock(s.names)
	if err != nil {
		return err
	}
	defer unlock()
	path := filepath.Join(s.names, name)
	if holder, err := os.Readlink(path); err == nil {
		if s.holds(holder, name) {
			return &ConflictError{Name: name, Holder: holder}
		}
		os.Remove(path)
	}
	if err := os.Symlink(c.ID, path); err != nil {
		return fmt.Errorf("take name %q: %w", name, err)
	}
	old := c.Name
	c.Name = name
	if err := s.Save(c); err != nil {
		c.Name = old
		return errors.Join(err, os.Remove(path))
	}
	return s.freeNames(old, c.ID)
}

// Save writes the spec of a container anew, for what may change during its life: its name, its restart policy and limits.
func (s *Store) Save(c *Container) error {
	return durable.WriteJSON(filepath.Join(c.Dir, specFile), c.Spec, durable.Fsync)
}

// Remove takes a container away: after it nobody finds it any more, and its name is free. The caller holds the lock and has
// made sure that nothing of it runs. A container whose record is damaged can be removed too.
func (s *Store) Remove(c *Container) error {
	return s.discard(c)
}

// discard renames the folder away, frees the name if it is this container's, and deletes the rest. Missing is done.
func (s *Store) discard(c *Container) error {
	id := filepath.Base(c.Dir)
	gone := filepath.Join(s.data, removedPrefix+id)
	// Not os.Rename, which takes no folder's place: the one that a sweeper is just removing, empty, since it was faster than the
	// creator (makeFolder).
	err := unix.Rename(c.Dir, gone)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("remove container %s: %w", Short(id), err)
	}
	return errors.Join(s.freeNames(c.Name, id), os.RemoveAll(c.RunDir), rootfs.RemoveAll(gone))
}

// freeNames removes the container's name, or, when its record could not be read, whichever leads to it.
func (s *Store) freeNames(name, id string) error {
	names := []string{name}
	if name == "" {
		names = nil
		entries, _ := os.ReadDir(s.names)
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	for _, n := range names {
		path := filepath.Join(s.names, n)
		if holder, err := os.Readlink(path); err == nil && holder == id {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("free name %q: %w", n, err)
			}
		}
	}
	return nil
}

func isFullID(s string) bool { return len(s) == 64 && isHex(s) }

func isHex(s string) bool {
	for _, r := range s {
		if !strings.ContainsRune("0123456789abcdef", r) {
			return false
		}
	}
	return s != ""
}
