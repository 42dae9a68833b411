package images

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Files and annotations of the archives that others write.
const (
	dockerManifest     = "manifest.json" // docker save
	dockerRepositories = "repositories"  // docker save before Docker 1.10: nothing else says what is what
	annotateContainerd = "io.containerd.image.name"
)

// dockerImage is one element of manifest.json.
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// Loaded is one image that Load brought in.
type Loaded struct {
	ID    string
	Names []string // as Docker prints them; empty: the archive has none
}

// found is an image of an archive whose blobs are in the store.
type found struct {
	id       string
	manifest v1.Descriptor
	names    []string // full
}

// Load brings in the images of an archive: what `docker save` and Save write, older forms of it without blobs/ included, and
// archives of an OCI layout; compressed or not. Of several platforms it takes this machine's. Everything is checked, layers
// against their DiffIDs too, before any name is given: an archive that is broken anywhere gives ErrInvalid and leaves nothing.
func (s *Store) Load(ctx context.Context, r io.Reader) ([]Loaded, error) {
	in, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer in.end()
	a, err := in.spool(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	defer a.remove()
	images, err := a.images(ctx)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	var loaded []Loaded
	err = s.update(func(index *v1.Index) error {
		for _, f := range images {
			l := Loaded{ID: f.id}
			for _, name := range f.names {
				setName(index, name, f.manifest, f.id)
				if r, err := ParseReference(name); err == nil {
					l.Names = append(l.Names, r.Familiar())
				}
			}
			if len(f.names) == 0 {
				setName(index, "", f.manifest, f.id)
			}
			loaded = append(loaded, l)
		}
		return nil
	})
	return loaded, err
}

// images brings in all images of the archive.
func (a *archive) images(ctx context.Context) ([]found, error) {
	if _, err := a.find(indexFile); err == nil {
		return a.layoutImages(ctx)
	}
	if _, err := a.find(dockerManifest); err == nil {
		return a.dockerImages(ctx)
	}
	if _, err := a.find(dockerRepositories); err == nil {
		return nil, fmt.Errorf("%w: archive of a Docker before 1.10, whose layers have no digests", ErrInvalid)
	}
	return nil, fmt.Errorf("%w: archive has neither %s nor %s", ErrInvalid, indexFile, dockerManifest)
}

// layoutImages brings in those of an OCI layout.
func (a *archive) layoutImages(ctx context.Context) ([]found, error) {
	data, err := a.read(indexFile)
	if err != nil {
		return nil, err
	}
	var index v1.Index
	if err := unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("read %s: %w", indexFile, err)
	}
	named, err := byName(index.Manifests)
	if err != nil {
		return nil, err
	}
	var images []found
	for _, n := range named {
		d := n.manifests[0]
		if len(n.manifests) > 1 {
			if d, err = choose(n.manifests, hostPlatform()); err != nil {
				return nil, err
			}
		}
		f, err := a.layoutImage(ctx, d)
		if err != nil {
			return nil, err
		}
		if n.name != "" {
			f.names = []string{n.name}
		}
		images = merge(images, f)
	}
	if len(images) == 0 {
		return nil, fmt.Errorf("%w: archive has no images", ErrInvalid)
	}
	return images, nil
}

// variants are the entries of an index.json that have one name: one image, for several platforms.
type variants struct {
	name      string // full; "": none
	manifests []v1.Descriptor
}

// byName groups the entries of an archive's index.json.
func byName(entries []v1.Descriptor) ([]variants, error) {
	var all []variants
	for _, d := range entries {
		if p := d.Platform; p != nil && p.OS == "unknown" {
			continue // an attestation
		}
		name, err := archiveName(d.Annotations)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(all, func(v variants) bool { return name != "" && v.name == name })
		if i < 0 {
			all = append(all, variants{name: name, manifests: []v1.Descriptor{d}})
			continue
		}
		all[i].manifests = append(all[i].manifests, d)
	}
	return all, nil
}

// archiveName takes an image's name from the annotations of its entry: containerd's and Docker's, or else the image-spec's,
// which some tools give a mere tag.
func archiveName(annotations map[string]string) (string, error) {
	name := annotations[annotateContainerd]
	if name == "" {
		name = annotations[annotateRef]
		if !strings.ContainsAny(name, "/:") {
			return "", nil
		}
	}
	r, err := ParseReference(name)
	if err != nil {
		return "", err
	}
	return r.key(), nil
}

// layoutImage brings in the image that an entry leads to.
func (a *archive) layoutImage(ctx context.Context, d v1.Descriptor) (found, error) {
	if err := checkDescriptor(d); err != nil {
		return found{}, err
	}
	d, data, err := resolve(ctx, a, d, hostPlatform())
	if err != nil {
		return found{}, err
	}
	m, err := parseManifest(data)
	if err != nil {
		return found{}, fmt.Errorf("read manifest %s: %w", d.Digest, err)
	}
	data, err = a.document(ctx, m.Config)
	if err != nil {
		return found{}, err
	}
	c, err := parseConfig(data, m)
	if err != nil {
		return found{}, fmt.Errorf("read configuration %s: %w", m.Config.Digest, err)
	}
	needed := make([]member, 0, len(m.Layers)+2)
	for i, l := range m.Layers {
		b, err := a.blob(l)
		if err != nil {
			return found{}, err
		}
		if _, err := a.checkLayer(ctx, b, c.RootFS.DiffIDs[i].String()); err != nil {
			return found{}, err
		}
		needed = append(needed, b)
	}
	for _, doc := range []v1.Descriptor{m.Config, d} {
		b, err := a.blob(doc)
		if err != nil {
			return found{}, err
		}
		needed = append(needed, b)
	}
	for _, b := range needed {
		if err := a.keep(b); err != nil {
			return found{}, err
		}
	}
	return found{id: m.Config.Digest.String(), manifest: d}, nil
}

// dockerImages brings in those of a manifest.json, whose manifests are made anew. The configuration stays as it is, so the
// image keeps its ID.
func (a *archive) dockerImages(ctx context.Context) ([]found, error) {
	data, err := a.read(dockerManifest)
	if err != nil {
		return nil, err
	}
	var list []dockerImage
	if err := unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("read %s: %w", dockerManifest, err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: archive has no images", ErrInvalid)
	}
	var images []found
	for _, i := range list {
		f, err := a.dockerImage(ctx, i)
		if err != nil {
			return nil, err
		}
		for _, tag := range i.RepoTags {
			r, err := ParseReference(tag)
			if err != nil {
				return nil, err
			}
			f.names = append(f.names, r.key())
		}
		images = merge(images, f)
	}
	return images, nil
}

func (a *archive) dockerImage(ctx context.Context, i dockerImage) (found, error) {
	data, err := a.read(i.Config)
	if err != nil {
		return found{}, err
	}
	m := v1.Manifest{Layers: make([]v1.Descriptor, len(i.Layers))}
	c, err := parseConfig(data, m)
	if err != nil {
		return found{}, fmt.Errorf("read configuration %q: %w", clip(i.Config), err)
	}
	for n, name := range i.Layers {
		b, err := a.find(name)
		if err != nil {
			return found{}, err
		}
		kind, err := a.checkLayer(ctx, b, c.RootFS.DiffIDs[n].String())
		if err != nil {
			return found{}, fmt.Errorf("read %q: %w", clip(name), err)
		}
		if err := a.keep(b); err != nil {
			return found{}, err
		}
		m.Layers[n] = v1.Descriptor{MediaType: layerType(kind), Digest: b.Digest, Size: b.Size}
	}
	if len(m.Layers) > maxLayers {
		return found{}, fmt.Errorf("%w: %d layers: at most %d", ErrInvalid, len(m.Layers), maxLayers)
	}
	config, err := a.in.put(data, v1.MediaTypeImageConfig)
	if err != nil {
		return found{}, err
	}
	d, err := a.in.putManifest(config, m.Layers)
	return found{id: config.Digest.String(), manifest: d}, err
}

// checkLayer compares a layer with its DiffID, and tells how it is compressed.
func (a *archive) checkLayer(ctx context.Context, b member, diffID string) (compression, error) {
	f, err := os.Open(a.spooled(b))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	plain, kind, err := decompress(&interruptible{ctx: ctx, r: f})
	if err != nil {
		return 0, fmt.Errorf("read layer %s: %w", b.Digest, err)
	}
	defer plain.Close()
	if kind == bzipped || kind == xzipped {
		return 0, fmt.Errorf("%w: layer %s is compressed with neither gzip nor zstd", ErrInvalid, b.Digest)
	}
	got := b.Digest.String()
	if kind != uncompressed {
		h := sha256.New()
		if _, err := io.Copy(h, plain); err != nil {
			return 0, fmt.Errorf("read layer %s: %w", b.Digest, err)
		}
		got = sum(h)
	}
	if got != diffID {
		return 0, fmt.Errorf("%w: layer %s has the content %s, not %s", ErrInvalid, b.Digest, got, diffID)
	}
	return kind, nil
}

// merge puts the names of one image together.
func merge(images []found, f found) []found {
	for i := range images {
		if images[i].id == f.id {
			images[i].names = append(images[i].names, f.names...)
			return images
		}
	}
	return append(images, f)
}

// layerType is the media type of a layer that is compressed in this way.
func layerType(kind compression) string {
	switch kind {
	case gzipped:
		return v1.MediaTypeImageLayerGzip
	case zstandard:
		return v1.MediaTypeImageLayerZstd
	case uncompressed, bzipped, xzipped:
	}
	return v1.MediaTypeImageLayer
}
