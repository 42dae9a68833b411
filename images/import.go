package images

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// ImportOptions are the options of `import`.
type ImportOptions struct {
	Changes  []string // --change: instructions of a Dockerfile, applied in order
	Message  string   // --message: the history's comment; empty: "Imported from -"
	Platform string   // --platform: OS/ARCH[/VARIANT]; empty: this machine's
}

// Import makes an image of one layer from the tar of a root file system, which may be compressed with gzip, zstd, bzip2 or
// xz. An empty ref leaves it without a name. The layer is kept as it came, except that bzip2 and xz, which no registry takes,
// are kept uncompressed. A stream that is no tar, or a broken one, gives ErrInvalid and leaves nothing.
func (s *Store) Import(ctx context.Context, r io.Reader, ref string, o ImportOptions) (Image, error) {
	name, config, err := prepareImport(ref, o)
	if err != nil {
		return Image{}, err
	}
	in, err := s.begin(ctx)
	if err != nil {
		return Image{}, err
	}
	defer in.end()
	layer, diffID, err := in.importLayer(&interruptible{ctx: ctx, r: r})
	if err != nil {
		return Image{}, fmt.Errorf("import: %w", err)
	}
	config.RootFS = v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.Digest(diffID)}}
	id, err := in.assemble(config, []v1.Descriptor{layer}, name)
	if err != nil {
		return Image{}, fmt.Errorf("import: %w", err)
	}
	return s.Find(id)
}

// prepareImport checks all that can be wrong before the first byte is read.
func prepareImport(ref string, o ImportOptions) (name string, c Config, err error) {
	if ref != "" {
		r, err := ParseReference(ref)
		if err != nil {
			return "", c, err
		}
		if r.Digest != "" {
			return "", c, fmt.Errorf("import as %q: a digest cannot be given as a name", ref)
		}
		name = r.key()
	}
	p, err := parsePlatform(o.Platform)
	if err != nil {
		return "", c, err
	}
	now := time.Now().UTC()
	c.Created, c.Platform = &now, p
	for _, line := range o.Changes {
		if err := change(&c, line); err != nil {
			return "", c, err
		}
	}
	comment := o.Message
	if comment == "" {
		comment = "Imported from -"
	}
	c.History = []v1.History{{Created: &now, Comment: comment}}
	return name, c, nil
}

// importLayer stores a tar as a layer.
func (in *ingest) importLayer(r io.Reader) (d v1.Descriptor, diffID string, err error) {
	raw, err := in.create()
	if err != nil {
		return d, "", err
	}
	defer raw.discard()
	compressed := &tee{r: r, w: raw}
	plain, kind, err := decompress(compressed)
	if err != nil {
		return d, "", err
	}
	defer plain.Close()
	if raw.size == 0 {
		return d, "", fmt.Errorf("%w: nothing to read", ErrInvalid)
	}
	mediaType := v1.MediaTypeImageLayer
	var content io.Reader = plain
	h := digest.SHA256.Digester()
	switch kind {
	case gzipped:
		mediaType = v1.MediaTypeImageLayerGzip
	case zstandard:
		mediaType = v1.MediaTypeImageLayerZstd
	case bzipped, xzipped:
		compressed.w = io.Discard
		if err := raw.rewind(); err != nil {
			return d, "", err
		}
		content = &tee{r: plain, w: raw}
	case uncompressed:
	}
	if err := checkTar(io.TeeReader(content, h.Hash())); err != nil {
		return d, "", err
	}
	// What follows the last member of a compressed file belongs to the blob, not to the tar.
	if _, err := io.Copy(io.Discard, compressed); err != nil {
		return d, "", err
	}
	d, err = in.commit(raw, mediaType)
	return d, h.Digest().String(), err
}

// checkTar reads a tar to the end of the stream and returns ErrInvalid if it is broken. Unpacking has checks of its own; this
// keeps what is not a root file system at all from becoming an image.
func checkTar(r io.Reader) error {
	t := tar.NewReader(r)
	for {
		_, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return brokenTar(err)
		}
	}
	_, err := io.Copy(io.Discard, r)
	return err
}

// assemble stores configuration and manifest, and gives the image its name.
func (in *ingest) assemble(c Config, layers []v1.Descriptor, name string) (id string, err error) {
	data, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	config, err := in.put(data, v1.MediaTypeImageConfig)
	if err != nil {
		return "", err
	}
	d, err := in.putManifest(config, layers)
	if err != nil {
		return "", err
	}
	id = config.Digest.String()
	return id, in.s.update(func(index *v1.Index) error {
		setName(index, name, d, id)
		return nil
	})
}

func (in *ingest) putManifest(config v1.Descriptor, layers []v1.Descriptor) (v1.Descriptor, error) {
	data, err := json.Marshal(v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest, Config: config, Layers: layers,
	})
	if err != nil {
		return v1.Descriptor{}, err
	}
	return in.put(data, v1.MediaTypeImageManifest)
}

// tee writes what is read, and tells a full disk from a broken stream.
type tee struct {
	r io.Reader
	w io.Writer
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if n > 0 {
		if _, werr := t.w.Write(p[:n]); werr != nil {
			return 0, fmt.Errorf("store blob: %w", werr)
		}
	}
	return n, err
}
