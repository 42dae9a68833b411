package images

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// maxDocument bounds a manifest, index or configuration, in bytes. Registries refuse more than 4 MiB; real ones are KiB.
	maxDocument = 4 << 20
	// maxElements bounds what a document may hold. `{},{},...` costs an attacker 3 bytes each and us 200.
	maxElements = 50_000
	// maxLayers is the most that overlayfs stacks (OVL_MAX_STACK in fs/overlayfs/params.h).
	maxLayers = 500
	// maxNesting is how deep indexes may refer to indexes.
	maxNesting = 4
)

// Docker's names for what the image-spec later named its own way. The documents are alike.
const (
	mediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaTypeDockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	mediaTypeDockerConfig   = "application/vnd.docker.container.image.v1+json"
	mediaTypeDockerLayer    = "application/vnd.docker.image.rootfs.diff.tar"
	mediaTypeDockerV1       = "application/vnd.docker.distribution.manifest.v1+prettyjws"
)

// documents is where manifests, indexes and configurations are read from: this store, an archive, a registry. What it
// returns has been checked against the descriptor's digest and size.
type documents interface {
	document(ctx context.Context, d v1.Descriptor) ([]byte, error)
	// has tells whether the blob may be there. An archive may hold fewer platforms than its index names.
	has(d v1.Descriptor) bool
}

// checkDescriptor refuses what cannot be a blob of ours, before anything is read or named after it.
func checkDescriptor(d v1.Descriptor) error {
	if !validDigest(d.Digest.String()) {
		return fmt.Errorf("%w: digest %q: want sha256:<64 hexadecimal digits>", ErrInvalid, clip(d.Digest.String()))
	}
	if d.Size < 0 {
		return fmt.Errorf("%w: blob %s has the size %d", ErrInvalid, d.Digest, d.Size)
	}
	return nil
}

// unmarshal parses a document whose size is bounded already, without letting it grow in memory out of proportion.
func unmarshal(data []byte, v any) error {
	if len(data) > maxDocument {
		return fmt.Errorf("%w: document of %d bytes: at most %d", ErrInvalid, len(data), maxDocument)
	}
	if n := bytes.Count(data, []byte{','}); n > maxElements {
		return fmt.Errorf("%w: document of more than %d elements", ErrInvalid, maxElements)
	}
	err := json.Unmarshal(data, v)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return fmt.Errorf("%w: %q is a JSON %s", ErrInvalid, clip(wrong.Field), wrong.Value)
	case errors.As(err, &wrong):
		return fmt.Errorf("%w: document is a JSON %s", ErrInvalid, wrong.Value)
	case err != nil:
		return fmt.Errorf("%w: no JSON: %s", ErrInvalid, clip(err.Error()))
	}
	return nil
}

// isIndex tells an index from a manifest by its content. A document that could be read as both is refused: two programs
// would see two images under one digest (CVE-2021-41190). So is one whose content is not what its media type says.
func isIndex(data []byte, mediaType string) (bool, error) {
	var doc struct {
		SchemaVersion int
		MediaType     string
		Manifests     json.RawMessage
		Config        json.RawMessage
		Layers        json.RawMessage
		FSLayers      json.RawMessage
	}
	if err := unmarshal(data, &doc); err != nil {
		return false, err
	}
	index, manifest := doc.Manifests != nil, doc.Config != nil || doc.Layers != nil
	if doc.SchemaVersion == 1 || doc.FSLayers != nil && !index && !manifest || mediaType == mediaTypeDockerV1 {
		return false, fmt.Errorf("%w: manifest of schema version 1, which has no verifiable layers, is not supported", ErrInvalid)
	}
	if index == manifest || doc.FSLayers != nil {
		return false, fmt.Errorf("%w: document is not clearly a manifest or an index", ErrInvalid)
	}
	for _, t := range []string{mediaType, doc.MediaType} {
		claim := t == v1.MediaTypeImageIndex || t == mediaTypeDockerIndex
		known := claim || t == v1.MediaTypeImageManifest || t == mediaTypeDockerManifest
		if known && claim != index {
			return false, fmt.Errorf("%w: document is not of its media type %q", ErrInvalid, clip(t))
		}
	}
	return index, nil
}

// parseManifest reads a manifest and checks that all that it names can be ours.
func parseManifest(data []byte) (v1.Manifest, error) {
	var m v1.Manifest
	if err := unmarshal(data, &m); err != nil {
		return v1.Manifest{}, err
	}
	if len(m.Layers) > maxLayers {
		return v1.Manifest{}, fmt.Errorf("%w: %d layers: at most %d", ErrInvalid, len(m.Layers), maxLayers)
	}
	if err := checkDescriptor(m.Config); err != nil {
		return v1.Manifest{}, err
	}
	if t := m.Config.MediaType; t != v1.MediaTypeImageConfig && t != mediaTypeDockerConfig {
		return v1.Manifest{}, fmt.Errorf("%w: not a container image, but an artifact with a configuration of type %q", ErrInvalid, clip(t))
	}
	for _, l := range m.Layers {
		if err := checkDescriptor(l); err != nil {
			return v1.Manifest{}, err
		}
		if _, err := compressionOf(l.MediaType); err != nil {
			return v1.Manifest{}, err
		}
	}
	return m, nil
}

// parseConfig reads the configuration that belongs to the manifest.
func parseConfig(data []byte, m v1.Manifest) (Config, error) {
	var c Config
	if err := unmarshal(data, &c); err != nil {
		return Config{}, err
	}
	if len(c.RootFS.DiffIDs) != len(m.Layers) {
		return Config{}, fmt.Errorf("%w: %d layers, but its configuration has %d", ErrInvalid, len(m.Layers), len(c.RootFS.DiffIDs))
	}
	for _, id := range c.RootFS.DiffIDs {
		if !validDigest(id.String()) {
			return Config{}, fmt.Errorf("%w: DiffID %q", ErrInvalid, clip(id.String()))
		}
	}
	return c, nil
}

// resolve follows a descriptor to the manifest for the platform.
func resolve(ctx context.Context, src documents, d v1.Descriptor, p v1.Platform) (v1.Descriptor, []byte, error) {
	for range maxNesting {
		data, err := src.document(ctx, d)
		if err != nil {
			return v1.Descriptor{}, nil, err
		}
		index, err := isIndex(data, d.MediaType)
		if err != nil {
			return v1.Descriptor{}, nil, fmt.Errorf("read %s: %w", d.Digest, err)
		}
		if !index {
			return d, data, nil
		}
		var i v1.Index
		if err := unmarshal(data, &i); err != nil {
			return v1.Descriptor{}, nil, fmt.Errorf("read %s: %w", d.Digest, err)
		}
		have := slices.DeleteFunc(i.Manifests, func(d v1.Descriptor) bool { return checkDescriptor(d) == nil && !src.has(d) })
		if d, err = choose(have, p); err != nil {
			return v1.Descriptor{}, nil, err
		}
		if err := checkDescriptor(d); err != nil {
			return v1.Descriptor{}, nil, err
		}
	}
	return v1.Descriptor{}, nil, fmt.Errorf("%w: indexes more than %d deep", ErrInvalid, maxNesting)
}

// clip keeps foreign text in an error to one readable line.
func clip(s string) string {
	const most = 100
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}
