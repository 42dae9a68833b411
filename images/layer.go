package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// OpenLayer returns the layer's uncompressed tar. Its digest is checked as it is read: only io.EOF says that all bytes were
// those of the DiffID, so read to the end before trusting any of it. A layer that grows out of proportion to its compressed
// size ends in ErrInvalid. The caller closes the reader; cancelling ctx ends it too.
func (s *Store) OpenLayer(ctx context.Context, l Layer) (io.ReadCloser, error) {
	if !validDigest(l.Digest) || !validDigest(l.DiffID) {
		return nil, fmt.Errorf("open layer %q: %w: bad digest", clip(l.Digest), ErrInvalid)
	}
	f, err := os.OpenFile(s.blobPath(l.Digest), os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open layer: %w", err)
	}
	d, _, err := decompress(&interruptible{ctx: ctx, r: f})
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open layer %s: %w", l.Digest, err)
	}
	return &verified{r: d, file: f, hash: sha256.New(), layer: l}, nil
}

// verified compares a layer with its DiffID.
type verified struct {
	r     io.ReadCloser
	file  *os.File
	hash  hash.Hash
	layer Layer
	err   error
}

func (v *verified) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.r.Read(p)
	v.hash.Write(p[:n])
	switch {
	case errors.Is(err, io.EOF):
		if got := sum(v.hash); got != v.layer.DiffID {
			err = fmt.Errorf("layer %s: %w: content has the digest %s, not %s", v.layer.Digest, ErrInvalid, got, v.layer.DiffID)
		}
	case err != nil:
		err = fmt.Errorf("layer %s: %w", v.layer.Digest, err)
	}
	v.err = err
	return n, err
}

func (v *verified) Close() error {
	v.r.Close()
	return v.file.Close()
}

// sum returns the digest of what was written to the hash.
func sum(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }

// interruptible ends a stream when its context does.
type interruptible struct {
	ctx context.Context //nolint:containedctx // io.Reader has no other way to be told
	r   io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := context.Cause(i.ctx); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}
