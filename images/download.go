package images

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

const (
	maxAttempts   = 5 // of one download without a byte in between
	progressEvery = 100 * time.Millisecond
)

// errAgain is returned when what a download continued was not the beginning of the blob.
var errAgain = errors.New("stale partial download")

// blob brings one layer into the store, and continues where a reset connection or an earlier pull ended.
func (p *pull) blob(ctx context.Context, d v1.Descriptor) error {
	short := shortID(d.Digest.String())
	if p.in.s.has(d) {
		p.tell(Event{Layer: short, Status: "Already exists"})
		return nil
	}
	backoff, have := p.in.s.backoff, int64(-1)
	for attempt := 1; ; attempt++ {
		n, err := p.download(ctx, d)
		if err == nil {
			p.tell(Event{Layer: short, Status: "Pull complete"})
			return nil
		}
		if n > have {
			attempt, backoff, have = 1, p.in.s.backoff, n
		}
		if attempt == maxAttempts || ctx.Err() != nil || !worthRetrying(err) {
			return err
		}
		p.tell(Event{Layer: short, Status: "Retrying"})
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(backoff):
			backoff *= 2
		}
	}
}

// download fetches what is missing of a blob into its partial file, which at the end becomes the blob. It returns how many
// bytes are there. Whoever wants the same blob meanwhile waits for the file's lock.
func (p *pull) download(ctx context.Context, d v1.Descriptor) (have int64, err error) {
	f, err := p.in.partial(ctx, d)
	if f == nil || err != nil {
		return d.Size, err
	}
	defer f.Close()
	h := sha256.New()
	defer func() {
		// What cannot be continued, or has no room, goes. So does an empty file.
		if err != nil && (have == 0 || errors.Is(err, ErrInvalid) || errors.Is(err, errAgain) || errors.Is(err, unix.ENOSPC)) {
			os.Remove(f.Name())
		}
	}()
	if have, err = io.Copy(h, f); err != nil {
		return have, fmt.Errorf("read partial download: %w", err)
	}
	resumed := have > 0
	if have < d.Size {
		if have, err = p.fetch(ctx, d, f, h, have); err != nil {
			return have, err
		}
	}
	if got := sum(h); got != d.Digest.String() || have != d.Size {
		if resumed {
			return 0, errAgain
		}
		return have, fmt.Errorf("%w: the registry sent %d bytes with the digest %s", ErrInvalid, have, got)
	}
	p.tell(Event{Layer: shortID(d.Digest.String()), Status: "Download complete"})
	return have, p.in.s.place(f, d)
}

// fetch appends to the file what the registry has beyond the bytes that are there.
func (p *pull) fetch(ctx context.Context, d v1.Descriptor, f *os.File, h hash.Hash, have int64) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := newWatch(p.in.s.stall, cancel)
	defer r.stop()
	body, from, err := p.remote.blob(ctx, d, have)
	if err != nil {
		return have, stalled(ctx, err)
	}
	defer body.Close()
	r.r = body
	if from != have { // a registry that cannot continue starts again
		have = 0
		h.Reset()
		if err := f.Truncate(0); err != nil {
			return 0, err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return 0, err
		}
	}
	w := &progressWriter{w: io.MultiWriter(f, h), p: p, d: d, have: have}
	_, err = io.Copy(w, io.LimitReader(r, d.Size-have+1))
	switch {
	case w.have > d.Size:
		return 0, fmt.Errorf("%w: the registry sends more than the %d bytes of the manifest", ErrInvalid, d.Size)
	case err == nil && w.have < d.Size:
		err = io.ErrUnexpectedEOF
	case err != nil:
		err = stalled(ctx, err)
	}
	return w.have, err
}

// partial opens the file of a download and locks it. It returns nil if the blob has come meanwhile.
func (in *ingest) partial(ctx context.Context, d v1.Descriptor) (*os.File, error) {
	path := in.s.path(ingestDir + "/" + d.Digest.Encoded() + partSuffix)
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return nil, fmt.Errorf("store blob: %w", err)
		}
		if err := lock(ctx, f, unix.LOCK_EX); err != nil {
			f.Close()
			return nil, err
		}
		mine, err1 := f.Stat()
		now, err2 := os.Lstat(path)
		if err1 == nil && err2 == nil && os.SameFile(mine, now) {
			if !in.s.has(d) {
				return f, nil
			}
			os.Remove(path)
		}
		// Whoever had the lock before finished the blob, or gave the file up.
		f.Close()
		if in.s.has(d) {
			return nil, nil
		}
	}
}

// worthRetrying tells a broken connection from an answer.
func worthRetrying(err error) bool {
	var remote interface{ Temporary() bool }
	switch {
	case errors.Is(err, ErrInvalid), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), interrupted(err):
		return false
	case errors.Is(err, errAgain), errors.Is(err, errBroken), errors.Is(err, errStalled), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return true
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNREFUSED):
		return true
	}
	return errors.As(err, &remote) && remote.Temporary()
}

// progressWriter tells how far a download is, ten times a second.
type progressWriter struct {
	w    io.Writer
	p    *pull
	d    v1.Descriptor
	have int64
	told time.Time
}

func (w *progressWriter) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	w.have += int64(n)
	if now := time.Now(); now.Sub(w.told) >= progressEvery {
		w.told = now
		w.p.tell(Event{Layer: shortID(w.d.Digest.String()), Status: "Downloading", Current: w.have, Total: w.d.Size})
	}
	return n, err
}
