package events

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// ReadOptions are which events Read returns.
type ReadOptions struct {
	Since time.Time // zero: from now on
	Until time.Time // zero: for ever
}

// errPast ends a read at Until.
var errPast = errors.New("past the end")

// Read calls f for each event in turn, those of the past first, and then those that happen, until Until, the end of ctx, or an
// error of f, which it returns. The end of ctx is no error.
func (j *Journal) Read(ctx context.Context, o ReadOptions, f func(Event) error) error {
	if o.Since.IsZero() {
		o.Since = time.Now()
	}
	if !o.Until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, o.Until)
		defer cancel()
	}
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	changed, closeWatch, err := watch(j.dir)
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	defer closeWatch()
	r := reader{dir: j.dir, show: func(e Event) error {
		switch when := e.When(); {
		case when.Before(o.Since):
			return nil
		case !o.Until.IsZero() && when.After(o.Until):
			return errPast
		}
		return f(e)
	}}
	defer r.close()
	r.open(previousFile)
	for {
		if err := r.read(); err != nil {
			if errors.Is(err, errPast) {
				return nil
			}
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-changed:
			if !ok {
				return errors.New("read events: the kernel has stopped telling of changes")
			}
		}
	}
}

// reader goes through the files of a journal.
type reader struct {
	dir  string
	show func(Event) error
	file *os.File // nil: none yet
	rest []byte   // the beginning of a line
}

func (r *reader) close() {
	if r.file != nil {
		r.file.Close()
	}
}

func (r *reader) open(name string) {
	if f, err := os.Open(filepath.Join(r.dir, name)); err == nil {
		r.close()
		r.file, r.rest = f, nil
	}
}

// read reads all that there is now, and goes over to the current file when the one before has been read to its end.
func (r *reader) read() error {
	for {
		last := r.isCurrent() // looked at before reading: what was appended before a rotation is not missed
		if err := r.drain(); err != nil {
			return err
		}
		if last {
			return nil
		}
		before := r.file
		if r.open(currentFile); r.file == before {
			return nil // there is none yet
		}
	}
}

func (r *reader) drain() error {
	if r.file == nil {
		return nil
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := r.file.Read(buf)
		var bad error
		if r.rest, bad = parse(append(r.rest, buf[:n]...), r.show); bad != nil {
			return bad
		}
		if errors.Is(err, io.EOF) {
			r.rest = append([]byte(nil), r.rest...)
			return nil
		}
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
	}
}

func (r *reader) isCurrent() bool {
	if r.file == nil {
		return false
	}
	mine, err := r.file.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(filepath.Join(r.dir, currentFile))
	return err == nil && os.SameFile(mine, now)
}

// watch tells when something happens in a folder. The channel is closed when the kernel says no more.
func watch(dir string) (<-chan struct{}, func(), error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, nil, os.NewSyscallError("inotify_init1", err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO); err != nil {
		unix.Close(fd)
		return nil, nil, os.NewSyscallError("inotify_add_watch", err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	changed := make(chan struct{}, 1)
	go func() {
		defer close(changed)
		buf := make([]byte, 64*(unix.SizeofInotifyEvent+unix.NAME_MAX+1))
		for {
			if n, err := f.Read(buf); n <= 0 || err != nil {
				return
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed, func() { f.Close() }, nil
}
