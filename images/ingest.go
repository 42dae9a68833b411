package images

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// ingest is the right to add blobs: while anyone has it, no garbage is collected, so blobs that no name needs yet stay.
type ingest struct {
	s    *Store
	lock *os.File
}

// begin takes the right to add blobs. Whoever calls it calls end.
func (s *Store) begin(ctx context.Context) (*ingest, error) {
	f, err := os.Open(s.path(ingestDir))
	if err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	if err := lock(ctx, f, unix.LOCK_SH); err != nil {
		f.Close()
		return nil, fmt.Errorf("open image store: %w", err)
	}
	return &ingest{s: s, lock: f}, nil
}

// end gives the right back. Whoever is the last one collects what nobody needs.
func (in *ingest) end() {
	in.lock.Close()
	// An error leaves garbage for the next one, no more: it is not the caller's.
	_ = in.s.collect()
}

// lock takes a flock(2), waiting for it for as long as ctx goes on.
func lock(ctx context.Context, f *os.File, how int) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("lock %q: %w", f.Name(), os.NewSyscallError("flock", err))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// blob is bytes on their way into the store.
type blob struct {
	file *os.File
	hash hash.Hash
	size int64
}

// create starts a blob. The caller ends it by commit or discard.
func (in *ingest) create() (*blob, error) {
	f, err := os.CreateTemp(in.s.path(ingestDir), "*"+tempSuffix)
	if err != nil {
		return nil, fmt.Errorf("store blob: %w", err)
	}
	return &blob{file: f, hash: sha256.New()}, nil
}

func (b *blob) Write(p []byte) (int, error) {
	n, err := b.file.Write(p)
	b.hash.Write(p[:n])
	b.size += int64(n)
	return n, err
}

// rewind forgets what was written.
func (b *blob) rewind() error {
	b.hash.Reset()
	b.size = 0
	if _, err := b.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return b.file.Truncate(0)
}

func (b *blob) digest() string { return sum(b.hash) }

// discard removes the bytes. It does nothing after commit.
func (b *blob) discard() {
	b.file.Close()
	os.Remove(b.file.Name())
}

// commit makes the bytes a blob under their digest.
func (in *ingest) commit(b *blob, mediaType string) (v1.Descriptor, error) {
	d := v1.Descriptor{MediaType: mediaType, Digest: digest.Digest(b.digest()), Size: b.size}
	if err := in.s.place(b.file, d); err != nil {
		return v1.Descriptor{}, err
	}
	return d, nil
}

// place moves a complete file to where the blob belongs, and closes it.
func (s *Store) place(f *os.File, d v1.Descriptor) (err error) {
	defer func() {
		if err != nil {
			f.Close()
			err = fmt.Errorf("store blob %s: %w", d.Digest, err)
		}
	}()
	if err := f.Chmod(0o600); err != nil {
		return err
	}
	// Without it a crash of the machine could leave the name with no bytes behind it.
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), s.blobPath(d.Digest.String())); err != nil {
		return err
	}
	return f.Close()
}

// put stores a document.
func (in *ingest) put(data []byte, mediaType string) (v1.Descriptor, error) {
	b, err := in.create()
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer b.discard()
	if _, err := b.Write(data); err != nil {
		return v1.Descriptor{}, fmt.Errorf("store blob: %w", err)
	}
	return in.commit(b, mediaType)
}

// stale tells whether a file in ingest/ is one that a dead writer left. Nobody adds blobs at this moment.
func stale(path string, now time.Time) bool {
	if strings.HasSuffix(path, tempSuffix) {
		return true
	}
	// An interrupted download is worth keeping for whoever tries again.
	info, err := os.Lstat(path)
	return err == nil && (filepath.Ext(path) != partSuffix || now.Sub(info.ModTime()) > keepPartial)
}

// keepPartial is how long an interrupted download is kept.
const keepPartial = 24 * time.Hour
