package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// minProgress is what a registry must send between two looks of the watch, in bytes.
const minProgress = 1024

// errStalled is returned when a registry keeps a connection open and sends next to nothing.
var errStalled = errors.New("the registry stopped sending")

// errBroken is returned when a connection ends in the middle of a blob.
var errBroken = errors.New("the connection broke")

var manifestTypes = strings.Join([]string{
	v1.MediaTypeImageIndex, mediaTypeDockerIndex, v1.MediaTypeImageManifest, mediaTypeDockerManifest,
}, ", ")

// registry is one repository of a registry, as the distribution-spec describes it. Authentication is that of
// go-containerregistry.
type registry struct {
	ref            Reference
	repo           name.Repository
	base           *http.Transport
	client         *http.Client
	stall, backoff time.Duration
	known          map[digest.Digest][]byte // documents that were fetched
}

// dial finds out how to talk to the registry. The caller closes what it returns.
func dial(ctx context.Context, ref Reference, stall, backoff time.Duration) (*registry, error) {
	repo, err := name.NewRepository(ref.Name(), name.StrictValidation)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReference, err)
	}
	auth, err := authn.Resolve(ctx, authn.DefaultKeychain, repo)
	if err != nil {
		return nil, fmt.Errorf("read registry credentials: %w", err)
	}
	base := newTransport(stall)
	g := &guard{inner: base, host: repo.RegistryStr(), secret: auth != authn.Anonymous}
	// go-containerregistry reads what the registry says to the handshake to its end, however long that takes.
	handshake, cancel := context.WithTimeoutCause(ctx, 2*stall, errStalled)
	defer cancel()
	rt, err := transport.NewWithContext(handshake, repo.Registry, auth, g, []string{repo.Scope(transport.PullScope)})
	if cause := context.Cause(handshake); cause != nil && err == nil {
		err = cause
	}
	if err != nil {
		base.CloseIdleConnections()
		return nil, stalled(handshake, err)
	}
	return &registry{
		ref: ref, repo: repo, base: base, client: &http.Client{Transport: rt}, stall: stall, backoff: backoff, known: make(map[digest.Digest][]byte),
	}, nil
}

func (r *registry) close() { r.base.CloseIdleConnections() }

// get asks for something of the repository.
func (r *registry) get(ctx context.Context, path string, header http.Header, want ...int) (*http.Response, error) {
	// The transport puts http in place of https where go-containerregistry found, and guard allowed, no TLS.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+r.repo.RegistryStr()+"/v2/"+r.repo.RepositoryStr()+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header = header
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	if err := transport.CheckError(resp, want...); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// head fetches the document that the reference names.
func (r *registry) head(ctx context.Context) (v1.Descriptor, error) {
	if r.ref.Digest != "" {
		d := v1.Descriptor{Digest: digest.Digest(r.ref.Digest)}
		data, mediaType, err := r.manifest(ctx, r.ref.Digest)
		if err != nil {
			return d, err
		}
		d.MediaType, d.Size = mediaType, int64(len(data))
		if err := checkContent(d, data); err != nil {
			return d, err
		}
		r.known[d.Digest] = data
		return d, nil
	}
	data, mediaType, err := r.manifest(ctx, r.ref.Tag)
	if err != nil {
		return v1.Descriptor{}, err
	}
	d := v1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	r.known[d.Digest] = data
	return d, nil
}

// manifest fetches a manifest or index by tag or digest.
func (r *registry) manifest(ctx context.Context, which string) (data []byte, mediaType string, err error) {
	resp, err := r.small(ctx, "/manifests/"+which, http.Header{"Accept": {manifestTypes}})
	if err != nil {
		return nil, "", err
	}
	mediaType, _, _ = strings.Cut(resp.header.Get("Content-Type"), ";")
	return resp.data, strings.TrimSpace(mediaType), nil
}

// document implements documents.
func (r *registry) document(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	if err := checkDescriptor(d); err != nil {
		return nil, err
	}
	if data, ok := r.known[d.Digest]; ok {
		return data, nil
	}
	if d.Size > maxDocument {
		return nil, fmt.Errorf("%w: document of %d bytes: at most %d", ErrInvalid, d.Size, maxDocument)
	}
	path, header := "/blobs/", http.Header{}
	switch d.MediaType {
	case v1.MediaTypeImageConfig, mediaTypeDockerConfig:
	default:
		path, header = "/manifests/", http.Header{"Accept": {manifestTypes}}
	}
	resp, err := r.small(ctx, path+d.Digest.String(), header)
	if err != nil {
		return nil, err
	}
	if err := checkContent(d, resp.data); err != nil {
		return nil, err
	}
	r.known[d.Digest] = resp.data
	return resp.data, nil
}

// has implements documents: a registry is asked.
func (r *registry) has(v1.Descriptor) bool { return true }

var _ documents = (*registry)(nil)

type smallResponse struct {
	header http.Header
	data   []byte
}

// small fetches a document, trying again when the connection breaks.
func (r *registry) small(ctx context.Context, path string, header http.Header) (smallResponse, error) {
	backoff := r.backoff
	for attempt := 1; ; attempt++ {
		resp, err := r.smallOnce(ctx, path, header)
		if err == nil || attempt == maxAttempts || ctx.Err() != nil || !worthRetrying(err) || errors.Is(err, errStalled) {
			return resp, err
		}
		select {
		case <-ctx.Done():
			return resp, context.Cause(ctx)
		case <-time.After(backoff):
			backoff *= 2
		}
	}
}

func (r *registry) smallOnce(ctx context.Context, path string, header http.Header) (smallResponse, error) {
	// A document has a few packets: what is not here by now, never comes.
	ctx, cancel := context.WithTimeoutCause(ctx, 2*r.stall, errStalled)
	defer cancel()
	resp, err := r.get(ctx, path, header.Clone(), http.StatusOK)
	if err != nil {
		return smallResponse{}, stalled(ctx, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return smallResponse{}, stalled(ctx, err)
	}
	if len(data) > maxDocument {
		return smallResponse{}, fmt.Errorf("%w: document of more than %d bytes", ErrInvalid, maxDocument)
	}
	return smallResponse{header: resp.Header, data: data}, nil
}

// blob asks for a blob, from the offset on. It returns where the answer really starts. The caller closes the body.
func (r *registry) blob(ctx context.Context, d v1.Descriptor, offset int64) (body io.ReadCloser, from int64, err error) {
	header := http.Header{}
	want := []int{http.StatusOK}
	if offset > 0 {
		// Both ends: some registries, go-containerregistry's among them, do not know an open range.
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, d.Size-1))
		want = append(want, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable)
	}
	resp, err := r.get(ctx, "/blobs/"+d.Digest.String(), header, want...)
	if err != nil {
		return nil, 0, err
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return resp.Body, 0, nil
	case resp.StatusCode == http.StatusPartialContent &&
		strings.HasPrefix(resp.Header.Get("Content-Range"), "bytes "+strconv.FormatInt(offset, 10)+"-"):
		return resp.Body, offset, nil
	}
	resp.Body.Close()
	return nil, 0, errAgain
}

// stalled says that a request failed because it took too long, where that is so.
func stalled(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// watch ends a request that stands still.
type watch struct {
	r    io.Reader
	n    atomic.Int64
	stop func()
}

// newWatch looks every so often at how far a request is. The caller stops it.
func newWatch(every time.Duration, cancel context.CancelCauseFunc) *watch {
	w := &watch{}
	done := make(chan struct{})
	w.stop = sync.OnceFunc(func() { close(done) })
	go func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for last := int64(0); ; {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			now := w.n.Load()
			if now-last < minProgress {
				cancel(errStalled)
				return
			}
			last = now
		}
	}()
	return w
}

func (w *watch) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.n.Add(int64(n))
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", errBroken, err)
	}
	return n, err
}
