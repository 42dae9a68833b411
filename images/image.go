package images

import (
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/image-spec/identity"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Config is an image's configuration: that of the image-spec, with Docker's Healthcheck, OnBuild and Shell.
type Config = dockerspec.DockerOCIImage

// Image is one image of the store.
type Image struct {
	ID          string    // sha256:<hex>, the digest of its configuration
	Digest      string    // sha256:<hex>, that of its manifest
	Names       []string  // its tags as Docker prints them (busybox:latest), sorted
	RepoDigests []string  // what registries call it (busybox@sha256:<hex>), sorted
	Created     time.Time // zero if the configuration does not say
	Platform    string    // os/architecture[/variant]
	Config      Config
	Layers      []Layer // the base first
}

// Layer is one layer of an image.
type Layer struct {
	Digest    string // sha256:<hex> of the blob
	DiffID    string // sha256:<hex> of the uncompressed tar
	ChainID   string // sha256:<hex> that stands for this layer on top of those below it
	MediaType string
	Size      int64 // bytes of the blob
}

// chains returns the chain IDs of the layers.
func (i Image) chains() []string {
	ids := make([]string, len(i.Layers))
	for n, l := range i.Layers {
		ids[n] = l.ChainID
	}
	return ids
}

// layersOf joins a manifest's layers with the configuration's DiffIDs, which checkManifest found to be as many.
func layersOf(m v1.Manifest, c Config) []Layer {
	chain := identity.ChainIDs(append(c.RootFS.DiffIDs[:0:0], c.RootFS.DiffIDs...))
	layers := make([]Layer, len(m.Layers))
	for i, d := range m.Layers {
		layers[i] = Layer{
			Digest: d.Digest.String(), DiffID: c.RootFS.DiffIDs[i].String(), ChainID: chain[i].String(),
			MediaType: d.MediaType, Size: d.Size,
		}
	}
	return layers
}
