// Package volume keeps folders that outlive containers.
//
// It owns, below the data root:
//
//	volumes/<name>/volume.json    what the user asked for
//	volumes/<name>/_data          the files, as in Docker; of a volume with options the place of its file system, which is
//	                              mounted in the namespaces of those who use it, and never in the host's
//
// Who uses a volume is told by the containers' specs; this package does not know.
package volume

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"ctr/internal/durable"
	"ctr/rootfs"
)

const (
	specFile = "volume.json"
	dataDir  = "_data"
	// SpecVersion is the version of volume.json that this program writes.
	SpecVersion = 1
)

var (
	// ErrNotFound is returned when no volume has the name.
	ErrNotFound = errors.New("no such volume")
	// ErrInvalidName is returned for a name that Docker does not take.
	ErrInvalidName = errors.New("includes invalid characters for a local volume name")
)

// validName tells whether Docker takes the name, which is also that of a folder: [a-zA-Z0-9][a-zA-Z0-9_.-]*.
func validName(name string) bool { return nameRE().MatchString(name) }

// Compiled when the first volume is named: the program starts often, and most containers have none.
var nameRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`) })

// Spec is volume.json.
type Spec struct {
	Version   int               `json:"version"`
	Name      string            `json:"name"`
	Created   time.Time         `json:"created"`
	Anonymous bool              `json:"anonymous,omitempty"` // made for one container, and removed with it
	Labels    map[string]string `json:"labels,omitempty"`
	Options   map[string]string `json:"options,omitempty"` // of the driver: type, o, device; none: a plain folder
}

// Volume is one volume.
type Volume struct {
	Spec
	dir string
}

// Path returns the folder that containers mount.
func (v *Volume) Path() string { return filepath.Join(v.dir, dataDir) }

// Lock is held by who decides whether the volume's file system is mounted anew or shared, until others can see that it is there.
func (v *Volume) Lock() (unlock func(), err error) {
	return durable.Lock(filepath.Join(v.dir, specFile))
}

// Store is the volumes of one installation.
type Store struct{ dir string }

// Path returns the folder that containers mount of the volume with the name, be it there or not.
func (s *Store) Path(name string) string { return filepath.Join(s.dir, name, dataDir) }

// Open opens the volumes in <data root>/volumes, and makes the folder if it is missing.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open volumes: %w", err)
	}
	return &Store{dir: dir}, nil
}

// NewName returns a name for an anonymous volume: 64 random hexadecimal digits.
func NewName() string {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand
	return hex.EncodeToString(b[:])
}

// Ensure returns the volume with the name, and makes it of the spec if there is none. fresh tells that it was made now, or
// made before but never written to.
func (s *Store) Ensure(spec Spec) (v *Volume, fresh bool, err error) {
	if !validName(spec.Name) || len(spec.Name) > 255 {
		return nil, false, fmt.Errorf("%q %w, only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", spec.Name, ErrInvalidName)
	}
	if err := spec.checkOptions(); err != nil {
		return nil, false, fmt.Errorf("create volume %q: %w", spec.Name, err)
	}
	unlock, err := durable.Lock(s.dir)
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	v, err = s.Find(spec.Name)
	if errors.Is(err, ErrNotFound) {
		v, err = s.make(spec)
	}
	if err != nil {
		return nil, false, err
	}
	entries, err := os.ReadDir(v.Path())
	if err != nil {
		return nil, false, fmt.Errorf("open volume %q: %w", spec.Name, err)
	}
	return v, len(entries) == 0, nil
}

// make makes the folders first and the record last: a volume without one is made again.
func (s *Store) make(spec Spec) (*Volume, error) {
	spec.Version = SpecVersion
	if spec.Created.IsZero() {
		spec.Created = time.Now()
	}
	v := &Volume{Spec: spec, dir: filepath.Join(s.dir, spec.Name)}
	if err := os.MkdirAll(v.Path(), 0o755); err != nil {
		return nil, fmt.Errorf("create volume %q: %w", spec.Name, err)
	}
	if err := durable.WriteJSON(filepath.Join(v.dir, specFile), v.Spec, durable.Fsync); err != nil {
		return nil, fmt.Errorf("create volume %q: %w", spec.Name, err)
	}
	return v, nil
}

// Find returns the volume with the name, or ErrNotFound; another error if the name is empty.
func (s *Store) Find(name string) (*Volume, error) {
	if name == "" {
		return nil, errors.New("invalid volume name or ID: value is empty")
	}
	if !validName(name) {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	v := &Volume{dir: filepath.Join(s.dir, name)}
	err := durable.ReadJSON(filepath.Join(v.dir, specFile), &v.Spec)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	return v, err
}

// List returns all volumes by name; those whose record is damaged are left out.
func (s *Store) List() ([]*Volume, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	var all []*Volume
	for _, e := range entries {
		if v, err := s.Find(e.Name()); err == nil {
			all = append(all, v)
		}
	}
	return all, nil
}

// Remove deletes a volume and its files. Whether a container uses it the caller has asked. Missing is done.
func (s *Store) Remove(name string) error {
	if !validName(name) {
		return nil
	}
	unlock, err := durable.Lock(s.dir)
	if err != nil {
		return err
	}
	defer unlock()
	dir := filepath.Join(s.dir, name)
	if err := os.Remove(filepath.Join(dir, specFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove volume %q: %w", name, err)
	}
	return rootfs.RemoveAll(dir)
}
