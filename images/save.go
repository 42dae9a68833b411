package images

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Save writes images as `docker save` does: an OCI layout with a manifest.json beside it, which docker load, podman and
// skopeo read. A name without a tag stands for all tags of its repository; an image asked for by ID has no name there. On
// error what was written so far is no archive. The output for the same images is the same, byte for byte.
func (s *Store) Save(ctx context.Context, w io.Writer, refs []string) error {
	index, err := s.readIndex()
	if err != nil {
		return err
	}
	var chosen []saved
	for _, ref := range refs {
		more, err := s.choose(index, ref)
		if err != nil {
			return err
		}
		for _, m := range more {
			i := slices.IndexFunc(chosen, func(c saved) bool { return c.id == m.id })
			if i < 0 {
				chosen = append(chosen, m)
				continue
			}
			chosen[i].names = append(chosen[i].names, m.names...)
		}
	}
	for i := range chosen {
		if err := s.describe(index, &chosen[i]); err != nil {
			return err
		}
	}
	t := tar.NewWriter(w)
	if err := s.write(ctx, t, chosen); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	if err := t.Close(); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	return nil
}

// saved is one image of the archive that Save writes.
type saved struct {
	id       string
	names    []Reference
	desc     v1.Descriptor
	manifest v1.Manifest
}

// choose returns the images that one argument of `save` means, with the names that they get.
func (s *Store) choose(index v1.Index, ref string) ([]saved, error) {
	r, err := ParseReference(ref)
	if err == nil && r.Tag == "" && r.Digest == "" {
		var all []saved
		for _, d := range index.Manifests {
			name, ok := nameOf(d)
			if !ok || name.Name() != r.Name() || name.Digest != "" {
				continue
			}
			id, err := s.idOf(d)
			if err != nil {
				return nil, err
			}
			all = append(all, saved{id: id, names: []Reference{name}})
		}
		if len(all) > 0 {
			return all, nil
		}
	}
	id, err := s.lookup(index, ref)
	if err != nil {
		return nil, err
	}
	one := saved{id: id}
	if named, err := s.byName(index, ref); err == nil && named == id && r.Digest == "" {
		one.names = []Reference{r}
	}
	return []saved{one}, nil
}

// describe reads what the image consists of.
func (s *Store) describe(index v1.Index, i *saved) error {
	d, err := s.entryOf(index, i.id)
	if err != nil {
		return err
	}
	i.manifest, i.desc, err = s.manifest(d)
	if i.desc.MediaType == "" {
		i.desc.MediaType = v1.MediaTypeImageManifest
	}
	slices.SortFunc(i.names, func(a, b Reference) int { return strings.Compare(a.String(), b.String()) })
	i.names = slices.Compact(i.names)
	return err
}

// write writes the members: blobs first, as docker save does, each once.
func (s *Store) write(ctx context.Context, t *tar.Writer, images []saved) error {
	for _, dir := range []string{v1.ImageBlobsDir + "/", blobsDir + "/"} {
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: epoch, Format: tar.FormatPAX}); err != nil {
			return err
		}
	}
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex}
	docker := []dockerImage{}
	done := make(map[string]bool)
	for _, i := range images {
		d := dockerImage{Config: blobName(i.manifest.Config.Digest), RepoTags: []string{}, Layers: []string{}}
		for _, l := range i.manifest.Layers {
			d.Layers = append(d.Layers, blobName(l.Digest))
		}
		for _, b := range append([]v1.Descriptor{i.desc, i.manifest.Config}, i.manifest.Layers...) {
			if done[b.Digest.String()] {
				continue
			}
			done[b.Digest.String()] = true
			if err := s.writeBlob(ctx, t, b); err != nil {
				return err
			}
		}
		for _, n := range i.names {
			d.RepoTags = append(d.RepoTags, n.Familiar())
		}
		docker = append(docker, d)
		index.Manifests = append(index.Manifests, i.entries()...)
	}
	for _, f := range []struct {
		name string
		v    any
	}{
		{indexFile, index}, {dockerManifest, docker}, {layoutFile, v1.ImageLayout{Version: v1.ImageLayoutVersion}},
	} {
		if err := writeDocument(t, f.name, f.v); err != nil {
			return err
		}
	}
	return nil
}

// entries are those of the image in the archive's index.json: one a name.
func (i saved) entries() []v1.Descriptor {
	d := v1.Descriptor{MediaType: i.desc.MediaType, Digest: i.desc.Digest, Size: i.desc.Size}
	if len(i.names) == 0 {
		return []v1.Descriptor{d}
	}
	var all []v1.Descriptor
	for _, n := range i.names {
		d.Annotations = map[string]string{annotateContainerd: n.String(), annotateRef: n.Tag}
		all = append(all, d)
	}
	return all
}

var epoch = time.Unix(0, 0).UTC()

// writeBlob copies a blob, and checks it on the way.
func (s *Store) writeBlob(ctx context.Context, t *tar.Writer, d v1.Descriptor) error {
	if err := checkDescriptor(d); err != nil {
		return err
	}
	f, err := os.Open(s.blobPath(d.Digest.String()))
	if err != nil {
		return err
	}
	defer f.Close()
	h := &tar.Header{Typeflag: tar.TypeReg, Name: blobName(d.Digest), Mode: 0o644, Size: d.Size, ModTime: epoch, Format: tar.FormatPAX}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	hash := sha256.New()
	if _, err := io.Copy(t, io.TeeReader(&interruptible{ctx: ctx, r: f}, hash)); err != nil {
		return err
	}
	if got := sum(hash); got != d.Digest.String() {
		return fmt.Errorf("%w: blob %s is damaged: its digest is %s", ErrInvalid, d.Digest, got)
	}
	return nil
}

func writeDocument(t *tar.Writer, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(data)), ModTime: epoch, Format: tar.FormatPAX}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err = t.Write(data)
	return err
}
