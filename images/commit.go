package images

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Healthcheck is an image's HEALTHCHECK.
type Healthcheck = dockerspec.HealthcheckConfig

// CommitOptions are what Commit makes an image of, besides a layer.
type CommitOptions struct {
	Base      string   // the ID of the image whose layers come first; empty: none
	Config    Config   // of which only the part that containers take is used
	Changes   []string // instructions of a Dockerfile, applied in order
	Author    string
	Message   string // the history's comment
	CreatedBy string // the history's command
}

// Commit makes an image that has the layers of another one and, on top, the uncompressed tar of what r reads. An empty ref
// leaves it without a name. It returns ErrNotFound if the other image has gone. On error nothing is left.
func (s *Store) Commit(ctx context.Context, r io.Reader, ref string, o CommitOptions) (Image, error) {
	name, config, err := prepareImport(ref, ImportOptions{})
	if err != nil {
		return Image{}, err
	}
	config.Config = o.Config.Config
	for _, line := range o.Changes {
		if err := change(&config, line); err != nil {
			return Image{}, err
		}
	}
	in, err := s.begin(ctx)
	if err != nil {
		return Image{}, err
	}
	defer in.end()
	config.History = nil
	var layers []v1.Descriptor
	if o.Base != "" {
		base, err := s.Find(o.Base)
		if err != nil {
			return Image{}, fmt.Errorf("commit: %w", err)
		}
		config.Platform, config.History = base.Config.Platform, slices.Clone(base.Config.History)
		config.RootFS = base.Config.RootFS
		for _, l := range base.Layers {
			layers = append(layers, v1.Descriptor{MediaType: l.MediaType, Digest: digest.Digest(l.Digest), Size: l.Size})
		}
	}
	layer, diffID, err := in.importLayer(&interruptible{ctx: ctx, r: r})
	if err != nil {
		return Image{}, fmt.Errorf("commit: %w", err)
	}
	now := time.Now().UTC()
	config.Author, config.Created = o.Author, &now
	config.RootFS.Type = "layers"
	config.RootFS.DiffIDs = append(slices.Clone(config.RootFS.DiffIDs), digest.Digest(diffID))
	config.History = append(config.History, v1.History{Created: &now, CreatedBy: o.CreatedBy, Author: o.Author, Comment: o.Message})
	id, err := in.assemble(config, append(layers, layer), name)
	if err != nil {
		return Image{}, fmt.Errorf("commit: %w", err)
	}
	return s.Find(id)
}
