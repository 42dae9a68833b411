package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	// maxLine is how many bytes of text one entry holds. A longer line becomes several entries, of which only the last one's
	// text ends in a newline. It is the size of Docker's copy buffer, so the parts are cut where Docker cuts them.
	maxLine = 16 << 10
	// maxBatch is when entries are written out although more are at hand. One write(2) of this size costs what ten small ones do.
	maxBatch = 64 << 10
)

// Options say how much of a log is kept.
type Options struct {
	MaxSize int64  // bytes a file, after which the next one is begun; 0: no bound
	MaxFile int    // how many files, the current one included; below 2, the one file starts anew when it is full, as in Docker
	Attrs   string `json:"attrs,omitempty"` // what each entry carries with it: a JSON object of strings; empty: nothing
}

// Writer writes one log. Its methods may be called from several goroutines.
type Writer struct {
	path string
	opts Options
	now  func() time.Time

	mu      sync.Mutex
	file    *os.File
	size    int64  // of the file
	batch   []byte // entries that are not in the file yet; empty between calls
	tail    []byte
	partial [2]partial
}

// partial is the beginning of a line whose end has not come.
type partial struct {
	text  []byte    // at most maxLine bytes
	begun time.Time // when the first part was logged, which all parts carry as their time; zero: none was
}

// Open opens the log at path for appending, and makes it if it is missing. The caller closes it.
func Open(path string, opts Options) (*Writer, error) {
	w := &Writer{path: path, opts: opts, now: time.Now}
	if err := w.open(); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return w, nil
}

func (w *Writer) open() error {
	f, err := os.OpenFile(w.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	w.file, w.size = f, info.Size()
	if w.size == 0 {
		return nil
	}
	// A line that a crash of the machine cut short must not swallow the first new one.
	var last [1]byte
	if _, err := f.ReadAt(last[:], w.size-1); err == nil && last[0] != '\n' {
		n, _ := f.Write([]byte{'\n'})
		w.size += int64(n)
	}
	return nil
}

// Write logs bytes as the program wrote them, cut anywhere. When it returns, all whole lines are in the file; the beginning
// of an unfinished one is kept until the rest comes. All lines of one call carry the same time. On error (a full disk) the
// lines that did not fit are lost, the file holds whole entries only, and later calls go on.
func (w *Writer) Write(s Stream, p []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	w.tail = appendTail(w.tail[:0], s, w.opts.Attrs, now)
	part := &w.partial[s]
	var errs error
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte{'\n'})
		if room := maxLine - len(part.text); len(line) >= room {
			part.text = append(part.text, line[:room]...)
			errs = errors.Join(errs, w.flushPart(s, part, now, false))
			p = p[room:]
			continue
		}
		p = rest
		switch {
		case !ended:
			part.text = append(part.text, line...)
		case len(part.text) == 0 && part.begun.IsZero():
			errs = errors.Join(errs, w.add(line, true, w.tail))
		default:
			part.text = append(part.text, line...)
			errs = errors.Join(errs, w.flushPart(s, part, now, true))
		}
	}
	return errors.Join(errs, w.flush())
}

// flushPart logs what is there of a line. All parts of a line have the time of the first.
func (w *Writer) flushPart(s Stream, part *partial, now time.Time, last bool) error {
	begun := part.begun
	if begun.IsZero() {
		begun = now
	}
	err := w.add(part.text, last, appendTail(nil, s, w.opts.Attrs, begun))
	part.text, part.begun = part.text[:0], begun
	if last {
		// Give the memory back: a container idles with it otherwise.
		*part = partial{}
	}
	return err
}

// add puts one entry into the batch, and the batch into the file when it is large or when the file is full.
func (w *Writer) add(line []byte, newline bool, tail []byte) (err error) {
	if w.opts.MaxSize > 0 && w.size+int64(len(w.batch)) >= w.opts.MaxSize {
		err = errors.Join(w.flush(), w.rotate())
	} else if len(w.batch) >= maxBatch {
		err = w.flush()
	}
	w.batch = appendEntry(w.batch, line, newline, tail)
	return err
}

// flush writes the batch. What is only half written is taken back.
func (w *Writer) flush() error {
	if len(w.batch) == 0 {
		return nil
	}
	n, err := w.file.Write(w.batch)
	w.batch = w.batch[:0]
	if err != nil {
		if n > 0 && w.file.Truncate(w.size) != nil {
			w.size += int64(n)
		}
		return fmt.Errorf("write log: %w", err)
	}
	w.size += int64(n)
	return nil
}

// rotate begins a new file. On error the current one is used further, so nothing is lost.
func (w *Writer) rotate() error {
	if w.opts.MaxFile < 2 {
		// A new file, and not the old one emptied as in Docker: whoever follows the log still has the old one to read.
		if err := os.Remove(w.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("rotate log: %w", err)
		}
	}
	for i := w.opts.MaxFile - 1; i > 0; i-- {
		if err := os.Rename(rotated(w.path, i-1), rotated(w.path, i)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("rotate log: %w", err)
		}
	}
	old := w.file
	if err := w.open(); err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	return old.Close()
}

// rotated is the path of the n-th file, counted from the current one.
func rotated(path string, n int) string {
	if n == 0 {
		return path
	}
	return path + "." + strconv.Itoa(n)
}

// Pending returns the beginning of an unfinished line, for a writer in another process that takes over: it passes the bytes
// to its own Write first. This one logs them no more.
func (w *Writer) Pending(s Stream) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := w.partial[s].text
	w.partial[s].text = nil
	return text
}

// Stream returns a writer of the bytes of one stream, as Write takes them. It reports all bytes as written even when the log
// could not take them: a full disk must not stop the program whose output it is.
func (w *Writer) Stream(s Stream) io.Writer { return streamWriter{w, s} }

type streamWriter struct {
	w *Writer
	s Stream
}

func (sw streamWriter) Write(p []byte) (int, error) {
	_ = sw.w.Write(sw.s, p)
	return len(p), nil
}

// Close logs unfinished lines as they are, without a newline, and closes the file.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs error
	now := w.now()
	for s := range w.partial {
		if len(w.partial[s].text) > 0 {
			errs = errors.Join(errs, w.flushPart(Stream(s), &w.partial[s], now, false))
		}
	}
	return errors.Join(errs, w.flush(), w.file.Close())
}
