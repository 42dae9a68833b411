package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// ReadOptions say what of a log is read.
type ReadOptions struct {
	Tail   int       // only the last so many entries; negative: all
	Since  time.Time // not what is older; zero: all
	Until  time.Time // not what is younger; zero: all
	Stdout bool
	Stderr bool
	// Follow, if not nil, is closed by the caller when nothing more will be written: until then the reader waits for more.
	Follow <-chan struct{}
	// Idle, if not nil, is called whenever the reader is about to wait for more.
	Idle func() error
}

// ErrStop may be returned by the function that Read calls, to end the reading without an error.
var ErrStop = errors.New("stop reading")

// Read calls f for each entry of the log at path, the oldest first, rotated files included. What is no entry (a line that a
// crash cut short) is passed over. A log that is not there is an empty one. It returns f's error, or that of the context.
func Read(ctx context.Context, path string, o ReadOptions, f func(Entry) error) error {
	if o.Follow != nil && !o.Until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, o.Until)
		defer cancel()
	}
	r := &reader{path: path, opts: o, emit: f}
	err := r.read(ctx)
	r.close()
	if errors.Is(err, ErrStop) || errors.Is(err, errUntil) {
		return nil
	}
	if !o.Until.IsZero() && errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// errUntil ends a reading that has come past its Until.
var errUntil = errors.New("past the last entry that was asked for")

// reader is one reading of a log.
type reader struct {
	path string
	opts ReadOptions
	emit func(Entry) error

	chain []*os.File // still to be read, the one that is being read first
	lines lineReader
	text  []byte // decode's buffer
}

func (r *reader) close() { closeAll(r.chain) }

func (r *reader) read(ctx context.Context) error {
	var wait *watch
	if r.opts.Follow != nil {
		// Before the first look, or a change between look and wait would be missed.
		wait = newWatch(r.path)
		defer wait.close()
	}
	var err error
	if r.chain, err = openChain(r.path, nil); err != nil {
		return err
	}
	sizes, err := r.skipToTail()
	if err != nil {
		return err
	}
	for i := 0; len(r.chain) > 0; i++ {
		limit := sizes[i]
		if r.opts.Follow != nil && len(r.chain) == 1 {
			limit = -1 // the newest: what comes meanwhile is wanted too
		}
		r.lines.reset(r.chain[0], limit)
		if err := r.drain(ctx); err != nil {
			return err
		}
		if len(r.chain) == 1 && r.opts.Follow != nil {
			break
		}
		r.chain[0].Close()
		r.chain = r.chain[1:]
	}
	if r.opts.Follow == nil {
		return nil
	}
	return r.follow(ctx, wait)
}

// skipToTail drops the files, and skips the part of the first one left, that are before the last Tail entries. It returns the
// sizes of the files that are left, as they are now: a reader that does not follow stops there, or it might never end.
func (r *reader) skipToTail() ([]int64, error) {
	sizes := make([]int64, len(r.chain))
	for i, f := range r.chain {
		info, err := f.Stat()
		if err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
		sizes[i] = info.Size()
	}
	if r.opts.Tail < 0 {
		return sizes, nil
	}
	left := r.opts.Tail
	for i, f := range slices.Backward(r.chain) {
		offset, lines, err := seekTail(f, sizes[i], left)
		if err != nil {
			return nil, err
		}
		left -= lines
		if _, err := f.Seek(offset, io.SeekStart); err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
		if left == 0 {
			closeAll(r.chain[:i])
			r.chain = r.chain[i:]
			return sizes[i:], nil
		}
	}
	return sizes, nil
}

// drain reads the current file to its end (or to the limit).
func (r *reader) drain(ctx context.Context) error {
	for {
		line, err := r.lines.next()
		if errors.Is(err, io.EOF) {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		var e Entry
		if r.text, err = decode(line, r.text, &e); err != nil {
			continue
		}
		if !r.opts.Until.IsZero() && e.Time.After(r.opts.Until) {
			return errUntil
		}
		if e.Time.Before(r.opts.Since) || e.Stream == Stdout && !r.opts.Stdout || e.Stream == Stderr && !r.opts.Stderr {
			continue
		}
		if err := r.emit(e); err != nil {
			return err
		}
		if r.lines.fresh() {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
}

// follow reads on as the log grows, through its rotations, until the caller says that nothing more comes.
func (r *reader) follow(ctx context.Context, wait *watch) error {
	for {
		ended := false
		select {
		case <-r.opts.Follow:
			ended = true // what was written before that is read once more below
		default:
		}
		if err := r.catchUp(ctx); err != nil || ended {
			return err
		}
		if r.opts.Idle != nil {
			if err := r.opts.Idle(); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.opts.Follow:
		case <-wait.changed:
		}
	}
}

// catchUp reads what is there now, in this file and in those that came after it.
func (r *reader) catchUp(ctx context.Context) error {
	for {
		var current os.FileInfo
		if len(r.chain) > 0 {
			var err error
			if current, err = r.chain[0].Stat(); err != nil {
				return fmt.Errorf("read log: %w", err)
			}
		}
		newest, err := os.Stat(r.path)
		missing := errors.Is(err, os.ErrNotExist)
		if err != nil && !missing {
			return fmt.Errorf("read log: %w", err)
		}
		// Looked at the name first and read the file then: if another one has the name by now, this one is complete.
		if len(r.chain) > 0 {
			r.lines.restartIfShorter(current.Size())
			if err := r.drain(ctx); err != nil {
				return err
			}
		}
		if missing || current != nil && os.SameFile(newest, current) {
			return nil
		}
		next, err := openChain(r.path, current)
		if err != nil {
			return err
		}
		if len(next) == 0 {
			return nil
		}
		closeAll(r.chain)
		r.chain = next
		for len(r.chain) > 1 {
			r.lines.reset(r.chain[0], -1)
			if err := r.drain(ctx); err != nil {
				return err
			}
			r.chain[0].Close()
			r.chain = r.chain[1:]
		}
		r.lines.reset(r.chain[0], -1)
	}
}

// lineReader cuts a growing file into lines. Unlike bufio.Scanner it can go on after an end of file.
type lineReader struct {
	file  *os.File
	limit int64 // how far to read; negative: to the end
	at    int64 // where the next read begins
	buf   []byte
	start int // of the part of buf that is not returned yet
	again bool
}

// maxEntry bounds one line of the log: 16 KiB of text, each byte escaped in six, and the rest.
const maxEntry = 256 << 10

func (l *lineReader) reset(f *os.File, limit int64) {
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		at = 0
	}
	l.file, l.limit, l.at, l.start = f, limit, at, 0
	if l.buf == nil {
		l.buf = make([]byte, 0, 64<<10)
	}
	l.buf = l.buf[:0]
}

// restartIfShorter goes back to the beginning when the file was emptied (a log of one file, when it is full).
func (l *lineReader) restartIfShorter(size int64) {
	if size < l.at {
		l.at, l.start, l.buf = 0, 0, l.buf[:0]
	}
}

// fresh tells whether the line returned last was the last one of a block.
func (l *lineReader) fresh() bool { return l.again }

// next returns the next whole line, valid until the next call, or io.EOF when there is none now.
func (l *lineReader) next() ([]byte, error) {
	for {
		if i := bytes.IndexByte(l.buf[l.start:], '\n'); i >= 0 {
			line := l.buf[l.start : l.start+i]
			l.start += i + 1
			l.again = l.start == len(l.buf)
			return line, nil
		}
		l.buf = l.buf[:copy(l.buf, l.buf[l.start:])]
		l.start = 0
		if len(l.buf) >= maxEntry {
			l.buf = l.buf[:0] // no log of ours: drop it until the line ends
		}
		if len(l.buf) == cap(l.buf) {
			l.buf = append(make([]byte, 0, 2*cap(l.buf)), l.buf...)
		}
		room := l.buf[len(l.buf):cap(l.buf)]
		if l.limit >= 0 {
			room = room[:max(0, min(int64(len(room)), l.limit-l.at))]
			if len(room) == 0 {
				return nil, io.EOF
			}
		}
		n, err := l.file.ReadAt(room, l.at)
		l.at += int64(n)
		l.buf = l.buf[:len(l.buf)+n]
		if n == 0 && err != nil {
			return nil, err
		}
	}
}
