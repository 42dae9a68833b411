package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Store is the images of one installation. Any number of processes may use one folder at the same time.
type Store struct {
	dir     string
	stall   time.Duration // how long a registry may send next to nothing
	backoff time.Duration // before the first of several attempts to reach it again
}

// Open returns the store in the folder dir, which it makes if it is missing.
func Open(dir string) (*Store, error) {
	s := &Store{dir: dir, stall: 30 * time.Second, backoff: 200 * time.Millisecond}
	if _, err := os.Lstat(s.path(indexFile)); err == nil {
		return s, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	if err := s.initialize(); err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	return s, nil
}

// Find returns the image that ref names: NAME[:TAG], NAME@DIGEST, an ID, or the first digits of one. It reads index.json, one
// manifest and one configuration. It returns ErrNotFound, or ErrAmbiguous if an ID prefix fits several images.
func (s *Store) Find(ref string) (Image, error) {
	index, err := s.readIndex()
	if err != nil {
		return Image{}, err
	}
	id, err := s.lookup(index, ref)
	if err != nil {
		return Image{}, err
	}
	return s.image(index, id)
}

// ID returns the ID of the image that Find would find. It reads index.json alone.
func (s *Store) ID(ref string) (string, error) {
	index, err := s.readIndex()
	if err != nil {
		return "", err
	}
	return s.lookup(index, ref)
}

// List returns all images, the newest first. An image that is damaged has only its ID and names, so that it can be removed.
func (s *Store) List() ([]Image, error) {
	index, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	images := s.images(index)
	slices.SortStableFunc(images, func(a, b Image) int { return b.Created.Compare(a.Created) })
	return images, nil
}

func (s *Store) images(index v1.Index) []Image {
	var images []Image
	seen := make(map[string]bool)
	for _, d := range index.Manifests {
		id, err := s.idOf(d)
		if err != nil {
			id = d.Digest.String() // all that is known of an entry that another program wrote and whose manifest is gone
		}
		if seen[id] {
			continue
		}
		seen[id] = true
		i, err := s.image(index, id)
		if err != nil {
			i = Image{ID: id, Digest: d.Digest.String()}
			s.addNames(&i, index)
		}
		images = append(images, i)
	}
	return images
}

// Tag gives the image that src names the name dst too, taking it from whichever image had it.
func (s *Store) Tag(src, dst string) error {
	r, err := ParseReference(dst)
	if err != nil {
		return err
	}
	if r.Digest != "" {
		return fmt.Errorf("tag %q: a digest cannot be given as a name", dst)
	}
	return s.update(func(index *v1.Index) error {
		id, err := s.lookup(*index, src)
		if err != nil {
			return err
		}
		d, err := s.entryOf(*index, id)
		if err != nil {
			return err
		}
		setName(index, r.key(), d, id)
		return nil
	})
}

// lookup returns the ID of the image that ref names. A name goes before an ID's first digits, a whole ID before a name.
func (s *Store) lookup(index v1.Index, ref string) (id string, err error) {
	digits := strings.TrimPrefix(ref, "sha256:")
	maybeID := digits != "" && len(digits) <= 64 && isHex(digits, len(digits))
	if len(digits) < 64 || !maybeID {
		id, err = s.byName(index, ref)
		if id != "" || err != nil && !maybeID {
			return id, err
		}
	}
	if maybeID {
		if id, err = s.byPrefix(index, digits); id != "" || err != nil {
			return id, err
		}
	}
	if r, err := ParseReference(ref); err == nil {
		ref = r.WithDefaultTag().Familiar()
	}
	return "", fmt.Errorf("%w: %s", ErrNotFound, clip(ref))
}

// byName returns the ID of the image with this name, or "" if there is none.
func (s *Store) byName(index v1.Index, ref string) (string, error) {
	r, err := ParseReference(ref)
	if err != nil {
		return "", err
	}
	for _, d := range index.Manifests {
		name, ok := nameOf(d)
		if ok && (name.key() == r.key() || r.Digest == d.Digest.String() && name.Name() == r.Name()) {
			return s.idOf(d)
		}
	}
	return "", nil
}

// byPrefix returns the ID that starts with the digits, or "" if there is none.
func (s *Store) byPrefix(index v1.Index, digits string) (string, error) {
	var ids, candidates []string // a name each, where the image has one
	for _, d := range index.Manifests {
		id, err := s.idOf(d)
		if err != nil || !strings.HasPrefix(id, "sha256:"+digits) || slices.Contains(ids, id) {
			continue
		}
		ids = append(ids, id)
		candidate := fmt.Sprintf("%.12s", strings.TrimPrefix(id, "sha256:"))
		if name, ok := nameOf(d); ok {
			candidate = name.Familiar() + " (" + candidate + ")"
		}
		candidates = append(candidates, candidate)
	}
	switch len(ids) {
	case 0:
		return "", nil
	case 1:
		return ids[0], nil
	}
	return "", fmt.Errorf("%w the ID prefix %q: %s", ErrAmbiguous, digits, strings.Join(candidates, ", "))
}

// idOf returns the ID of the image of an entry. Only for an entry that another program wrote it has to read a manifest.
func (s *Store) idOf(d v1.Descriptor) (string, error) {
	if id := d.Annotations[annotateID]; validDigest(id) {
		return id, nil
	}
	m, _, err := s.manifest(d)
	if err != nil {
		return "", err
	}
	return m.Config.Digest.String(), nil
}

// entryOf returns the entry whose manifest stands for the image.
func (s *Store) entryOf(index v1.Index, id string) (v1.Descriptor, error) {
	for _, d := range index.Manifests {
		if have, err := s.idOf(d); err == nil && have == id {
			return d, nil
		}
	}
	return v1.Descriptor{}, fmt.Errorf("%w: %s", ErrNotFound, id)
}

// manifest reads the manifest of an entry, through an index if the entry is one.
func (s *Store) manifest(d v1.Descriptor) (v1.Manifest, v1.Descriptor, error) {
	d, data, err := resolve(context.Background(), s, d, hostPlatform())
	if err != nil {
		return v1.Manifest{}, d, err
	}
	m, err := parseManifest(data)
	if err != nil {
		return v1.Manifest{}, d, fmt.Errorf("read manifest %s: %w", d.Digest, err)
	}
	return m, d, nil
}

// image puts together what is known of one image.
func (s *Store) image(index v1.Index, id string) (Image, error) {
	entry, err := s.entryOf(index, id)
	if err != nil {
		return Image{}, err
	}
	m, d, err := s.manifest(entry)
	if err != nil {
		return Image{}, err
	}
	data, err := s.document(context.Background(), m.Config)
	if err != nil {
		return Image{}, err
	}
	c, err := parseConfig(data, m)
	if err != nil {
		return Image{}, fmt.Errorf("read configuration %s: %w", m.Config.Digest, err)
	}
	i := Image{
		ID: id, Digest: d.Digest.String(), Platform: formatPlatform(normalize(c.Platform)),
		Config: c, Layers: layersOf(m, c),
	}
	if c.Created != nil {
		i.Created = *c.Created
	}
	s.addNames(&i, index)
	return i, nil
}

// addNames looks up what the image is called.
func (s *Store) addNames(i *Image, index v1.Index) {
	for _, name := range s.namesOf(index, i.ID) {
		if name.Digest != "" {
			i.RepoDigests = append(i.RepoDigests, name.Familiar())
		} else {
			i.Names = append(i.Names, name.Familiar())
		}
	}
	slices.Sort(i.Names)
	slices.Sort(i.RepoDigests)
}

// document implements documents. The hash is checked at every reading: it costs microseconds and a damaged disk is told
// from a bad image.
func (s *Store) document(_ context.Context, d v1.Descriptor) ([]byte, error) {
	if err := checkDescriptor(d); err != nil {
		return nil, err
	}
	data, err := readSmall(s.blobPath(d.Digest.String()))
	if err != nil {
		return nil, err
	}
	return data, checkContent(d, data)
}

var _ documents = (*Store)(nil)

// checkContent tells whether the bytes are those that the descriptor names.
func checkContent(d v1.Descriptor, data []byte) error {
	sum := sha256.Sum256(data)
	if got := "sha256:" + hex.EncodeToString(sum[:]); got != d.Digest.String() {
		return fmt.Errorf("%w: blob %s is damaged: its digest is %s", ErrInvalid, d.Digest, got)
	}
	return nil
}
