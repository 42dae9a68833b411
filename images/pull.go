package images

import (
	"context"
	"errors"
	"fmt"
	"sync"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxDownloads is how many layers are fetched at a time, as in Docker.
const maxDownloads = 3

// PullOptions are the options of `pull`.
type PullOptions struct {
	Platform string      // OS/ARCH[/VARIANT]; empty: this machine's
	Progress func(Event) // called by one goroutine at a time; nil: silent
}

// Event is a step of a pull, in Docker's words.
type Event struct {
	Layer   string // the first 12 digits of the layer's digest; empty: about the whole image
	Status  string // "Pulling fs layer", "Downloading", "Download complete", "Already exists", "Digest: sha256:...", ...
	Current int64  // bytes so far, while downloading
	Total   int64  // bytes in all; 0 where there is nothing to count
}

// Pull fetches an image from the registry that its name names, with the credentials of ~/.docker/config.json, and gives it
// that name. What is here already is not fetched again; any number of pulls may run at once, and share downloads. An
// interrupted download is kept for a day and continued. It returns ErrDenied, ErrNotFound, ErrPlatform or ErrInvalid where
// the registry's answer says so.
func (s *Store) Pull(ctx context.Context, ref string, o PullOptions) (Image, error) {
	r, err := ParseReference(ref)
	if err != nil {
		return Image{}, err
	}
	r = r.WithDefaultTag()
	platform, err := parsePlatform(o.Platform)
	if err != nil {
		return Image{}, err
	}
	in, err := s.begin(ctx)
	if err != nil {
		return Image{}, err
	}
	defer in.end()
	p := &pull{in: in, ref: r, platform: platform, explicit: o.Platform != "", progress: o.Progress}
	if p.remote, err = dial(ctx, r, s.stall, s.backoff); err != nil {
		return Image{}, explain(r, err)
	}
	defer p.remote.close()
	id, err := p.run(ctx)
	if err != nil {
		return Image{}, explain(r, err)
	}
	return s.Find(id)
}

// pull is one run of Pull.
type pull struct {
	in       *ingest
	ref      Reference
	remote   *registry
	platform v1.Platform
	explicit bool // the user asked for this platform

	mu       sync.Mutex // of progress
	progress func(Event)
}

func (p *pull) tell(e Event) {
	if p.progress == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.progress(e)
}

// run fetches everything, and then names it.
func (p *pull) run(ctx context.Context) (id string, err error) {
	top, err := p.remote.head(ctx)
	if err != nil {
		return "", err
	}
	what := p.ref.Tag
	if p.ref.Digest != "" {
		what = p.ref.Digest
	}
	p.tell(Event{Status: what + ": Pulling from " + p.ref.Path})
	d, manifest, err := resolve(ctx, p.remote, top, p.platform)
	if err != nil {
		return "", err
	}
	m, err := parseManifest(manifest)
	if err != nil {
		return "", fmt.Errorf("read manifest %s: %w", d.Digest, err)
	}
	config, err := p.remote.document(ctx, m.Config)
	if err != nil {
		return "", err
	}
	c, err := parseConfig(config, m)
	if err != nil {
		return "", fmt.Errorf("read configuration %s: %w", m.Config.Digest, err)
	}
	if have := normalize(c.Platform); p.explicit && (have.OS != p.platform.OS || have.Architecture != p.platform.Architecture) {
		return "", fmt.Errorf("%w for %s: the image is for %s", ErrPlatform, formatPlatform(p.platform), formatPlatform(have))
	}
	if err := p.layers(ctx, m.Layers); err != nil {
		return "", err
	}
	if _, err := p.in.put(config, m.Config.MediaType); err != nil {
		return "", err
	}
	if d, err = p.in.put(manifest, manifestType(m)); err != nil {
		return "", err
	}
	return m.Config.Digest.String(), p.name(top, d, m.Config.Digest.String())
}

// name gives the image the tag that was asked for, and the digest by which the registry knows it.
func (p *pull) name(top, d v1.Descriptor, id string) error {
	canonical := Reference{Domain: p.ref.Domain, Path: p.ref.Path, Digest: top.Digest.String()}
	known := false
	err := p.in.s.update(func(index *v1.Index) error {
		if have, err := p.in.s.byName(*index, p.ref.String()); err == nil && have == id {
			known = true
		}
		if p.ref.Digest == "" {
			setName(index, p.ref.key(), d, id)
		}
		setName(index, canonical.key(), d, id)
		return nil
	})
	if err != nil {
		return err
	}
	p.tell(Event{Status: "Digest: " + top.Digest.String()})
	if known {
		p.tell(Event{Status: "Status: Image is up to date for " + p.ref.Familiar()})
	} else {
		p.tell(Event{Status: "Status: Downloaded newer image for " + p.ref.Familiar()})
	}
	return nil
}

// layers fetches the layers side by side. The first error ends the others.
func (p *pull) layers(ctx context.Context, layers []v1.Descriptor) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, maxDownloads)
	var wg sync.WaitGroup
	seen := make(map[string]bool)
	for _, d := range layers {
		if seen[d.Digest.String()] {
			continue
		}
		seen[d.Digest.String()] = true
		if !p.in.s.has(d) {
			p.tell(Event{Layer: shortID(d.Digest.String()), Status: "Pulling fs layer"})
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := p.blob(ctx, d); err != nil {
				cancel(fmt.Errorf("fetch layer %s: %w", shortID(d.Digest.String()), err))
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// manifestType is the media type of a manifest, which may leave it to its configuration's.
func manifestType(m v1.Manifest) string {
	switch {
	case m.MediaType != "":
		return m.MediaType
	case m.Config.MediaType == mediaTypeDockerConfig:
		return mediaTypeDockerManifest
	}
	return v1.MediaTypeImageManifest
}

// interrupted tells whether the caller gave up, rather than the registry.
func interrupted(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
