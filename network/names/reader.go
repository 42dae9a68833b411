package names

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Entry is one live address of a name.
type Entry struct {
	Addr  netip.Addr
	Owner Owner
}

// Lookup returns the addresses that the name has now, those of living owners only, in no order; exists tells whether there
// is any. It is for one question; who asks again and again keeps a Reader.
func (z Zone) Lookup(name string) (entries []Entry, exists bool, err error) {
	r := z.Reader()
	defer r.Close()
	entries, err = r.Lookup(nil, []byte(name))
	return entries, len(entries) > 0, err
}

// Reverse returns the name that answers for the address now, and its owner. It is for one question, as Lookup is.
func (z Zone) Reverse(addr netip.Addr) (name string, o Owner, exists bool, err error) {
	r := z.Reader()
	defer r.Close()
	return r.Reverse(addr)
}

// Reader looks names up in a zone again and again. It keeps no entry, only open descriptors: of the zone's folder, and
// pidfds of owners, which tell their end at once and never stand for another process. Its methods may be called from many
// goroutines. The caller closes it.
type Reader struct {
	path string

	mu     sync.RWMutex // held while the descriptors are used
	dir    int          // -1: not open
	owners owners
}

// Reader returns a reader of the zone, whose folder need not exist yet.
func (z Zone) Reader() *Reader { return &Reader{path: z.Dir, dir: -1} }

// Close closes what the reader holds. The reader may be used again, and closed again then.
func (r *Reader) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dir >= 0 {
		unix.Close(r.dir)
		r.dir = -1
	}
	r.owners.close()
}

// Lookup appends to dst the addresses that the name has now, those of living owners only, in no order.
func (r *Reader) Lookup(dst []Entry, name []byte) ([]Entry, error) {
	var path [maxFileName + 64]byte
	file, ok := appendFileName(path[:0], name)
	if !ok {
		return dst, nil
	}
	fd, err := r.open(append(file, 0))
	if fd < 0 || err != nil {
		return dst, err
	}
	defer closeFolder(fd)
	var buf [2048]byte
	for {
		n, errno := getdents(fd, buf[:])
		if errno == unix.ENOENT || errno == 0 && n == 0 { // ENOENT: the folder was removed between our openat and now
			return dst, nil
		}
		if errno != 0 {
			return dst, fmt.Errorf("look up name %q: %w", name, os.NewSyscallError("getdents64", errno))
		}
		for rest := buf[:n]; len(rest) > 0; {
			var file []byte
			file, rest = nextDirent(rest)
			if e, ok := r.entry(fd, file); ok {
				dst = append(dst, e)
			}
		}
	}
}

// Reverse returns the name that answers for the address now, and its owner.
func (r *Reader) Reverse(addr netip.Addr) (name string, o Owner, exists bool, err error) {
	path := append([]byte(addressesDir+"/"+fileOf(addr)), 0)
	var text [maxEntry]byte
	r.mu.RLock()
	dir := r.dir
	n, errno := readlinkat(dir, path, text[:])
	r.mu.RUnlock()
	if dir < 0 || errno == unix.ENOENT {
		if again, err := r.reopen(dir); !again {
			return "", Owner{}, false, err
		}
		r.mu.RLock()
		n, errno = readlinkat(r.dir, path, text[:])
		r.mu.RUnlock()
	}
	if errno == unix.ENOENT {
		return "", Owner{}, false, nil
	}
	if errno != 0 {
		return "", Owner{}, false, fmt.Errorf("look up address %s: %w", addr, os.NewSyscallError("readlinkat", errno))
	}
	if id, p, rest, ok := parseOwner(text[:n]); ok && len(rest) > 0 {
		name = string(rest)
		o, exists = r.owners.alive(id, p)
	}
	if !exists {
		return "", Owner{}, false, nil
	}
	return name, o, true, nil
}

// entry reads one file of a name's folder.
func (r *Reader) entry(fd int, file []byte) (Entry, bool) {
	if len(file) < 2 || file[0] == '.' { // "." and ".." and the byte that ends each
		return Entry{}, false
	}
	var text [maxEntry]byte
	n, errno := readlinkat(fd, file, text[:])
	if errno != 0 {
		return Entry{}, false
	}
	addr, ok := parseAddr(file[:len(file)-1])
	id, p, _, wellFormed := parseOwner(text[:n])
	if !ok || !wellFormed {
		return Entry{}, false
	}
	o, alive := r.owners.alive(id, p)
	return Entry{Addr: addr, Owner: o}, alive
}

// open opens the folder of a name, -1 if there is none. The path ends with a zero byte.
func (r *Reader) open(path []byte) (int, error) {
	r.mu.RLock()
	dir := r.dir
	fd, errno := openat(dir, path)
	r.mu.RUnlock()
	if dir < 0 || errno == unix.ENOENT {
		if again, err := r.reopen(dir); !again {
			return -1, err
		}
		r.mu.RLock()
		fd, errno = openat(r.dir, path)
		r.mu.RUnlock()
	}
	switch errno {
	case 0:
		return fd, nil
	case unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.ENAMETOOLONG:
		return -1, nil
	default:
	}
	return -1, fmt.Errorf("look up name: %w", &os.PathError{Op: "openat", Path: r.path, Err: errno})
}

// reopen opens the zone's folder if it is not open, or if the one that is open was removed (and perhaps made again). It
// tells whether there is another folder to look into than the one that the caller looked into.
func (r *Reader) reopen(seen int) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dir >= 0 {
		var st unix.Stat_t
		if err := unix.Fstat(r.dir, &st); err == nil && st.Nlink > 0 {
			return seen < 0, nil
		}
		unix.Close(r.dir)
		r.dir = -1
	}
	dir, err := unix.Open(r.path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, &os.PathError{Op: "open", Path: r.path, Err: err}
	}
	r.dir = dir
	return true, nil
}

// nextDirent takes the first entry of what getdents64(2) returned: its name, with the zero byte that ends it.
func nextDirent(buf []byte) (name, rest []byte) {
	const header = 19 // d_ino, d_off, d_reclen, d_type
	if len(buf) < header {
		return nil, nil
	}
	size := int(binary.NativeEndian.Uint16(buf[16:]))
	if size < header || size > len(buf) {
		return nil, nil
	}
	name = buf[header:size]
	for i, c := range name {
		if c == 0 {
			return name[:i+1], buf[size:]
		}
	}
	return nil, buf[size:]
}
