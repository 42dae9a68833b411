package images

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"ctr/internal/durable"
)

// The files of the layout; doc.go draws the tree.
const (
	layoutFile  = v1.ImageLayoutFile
	indexFile   = v1.ImageIndexFile
	blobsDir    = v1.ImageBlobsDir + "/sha256"
	ingestDir   = "ingest"
	tempSuffix  = ".tmp"
	partSuffix  = ".partial"
	annotateRef = v1.AnnotationRefName
	annotateID  = "ctr.image.id" // the digest of the configuration
)

func (s *Store) path(elem string) string { return filepath.Join(s.dir, elem) }

// blobPath returns where the blob is. The digest must be a valid one.
func (s *Store) blobPath(digest string) string {
	hex, ok := strings.CutPrefix(digest, "sha256:")
	if !ok || !isHex(hex, 64) {
		panic("impossible: unchecked digest " + digest)
	}
	return s.path(blobsDir + "/" + hex)
}

// has implements documents: the blob is here, with all of its bytes.
func (s *Store) has(d v1.Descriptor) bool {
	info, err := os.Lstat(s.blobPath(d.Digest.String()))
	return err == nil && info.Mode().IsRegular() && info.Size() == d.Size
}

// readSmall returns the content of a file that is a document. It does not block on a FIFO.
func readSmall(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxDocument {
		return nil, fmt.Errorf("%w: %q is not a regular file of at most %d bytes", ErrInvalid, path, maxDocument)
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	return data, nil
}

// readIndex returns index.json as it is at this moment. It needs no lock.
func (s *Store) readIndex() (v1.Index, error) {
	data, err := readSmall(s.path(indexFile))
	if err != nil {
		return v1.Index{}, fmt.Errorf("read image index: %w", err)
	}
	var i v1.Index
	if err := unmarshal(data, &i); err != nil {
		return v1.Index{}, fmt.Errorf("read image index: %w", err)
	}
	for _, d := range i.Manifests {
		if err := checkDescriptor(d); err != nil {
			return v1.Index{}, fmt.Errorf("read image index: %w", err)
		}
	}
	return i, nil
}

// update changes index.json: change sees what every earlier writer wrote, and on error nothing is written.
func (s *Store) update(change func(*v1.Index) error) error {
	unlock, err := durable.Lock(s.dir)
	if err != nil {
		return err
	}
	defer unlock()
	i, err := s.readIndex()
	if err != nil {
		return err
	}
	if err := change(&i); err != nil {
		return err
	}
	data, err := json.Marshal(i)
	if err != nil {
		return fmt.Errorf("write image index: %w", err)
	}
	if len(data) > maxDocument {
		return fmt.Errorf("write image index: more than %d bytes: remove some images", maxDocument)
	}
	// The blobs' names first: an entry must never outlive a crash that its blobs did not.
	if err := durable.SyncDir(s.path(blobsDir)); err != nil {
		return fmt.Errorf("write image index: %w", err)
	}
	return durable.WriteFile(s.path(indexFile), data, 0o600, durable.Fsync)
}

// initialize makes the layout's files where they are missing.
func (s *Store) initialize() error {
	for _, dir := range []string{blobsDir, ingestDir} {
		if err := os.MkdirAll(s.path(dir), 0o700); err != nil {
			return err
		}
	}
	unlock, err := durable.Lock(s.dir)
	if err != nil {
		return err
	}
	defer unlock()
	for name, v := range map[string]any{
		layoutFile: v1.ImageLayout{Version: v1.ImageLayoutVersion},
		indexFile: v1.Index{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{},
		},
	} {
		if _, err := os.Lstat(s.path(name)); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if err := durable.WriteFile(s.path(name), data, 0o600, durable.Fsync); err != nil {
			return err
		}
	}
	return nil
}
