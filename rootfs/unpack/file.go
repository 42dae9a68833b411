package unpack

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const (
	chunk      = 128 << 10
	checkEvery = 16 << 20 // bytes written between two looks at the disk
	maxReserve = 256 << 20
)

// file makes a regular file. Runs of zeros become holes: an archive of sparse files must not fill the disk.
func (u *unpacker) file(parent *os.File, base string, h *tar.Header) (err error) {
	flags := unix.O_CREAT | unix.O_EXCL | unix.O_WRONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(int(parent.Fd()), base, flags, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: base, Err: err}
	}
	f := os.NewFile(uintptr(fd), base)
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	if err := u.content(f, h.Size); err != nil {
		return err
	}
	if err := attributes(f, h); err != nil {
		return err
	}
	return setTimes(parent, base, h)
}

func (u *unpacker) content(f *os.File, size int64) error {
	if u.buf == nil {
		u.buf = make([]byte, chunk)
	}
	var done int64
	var hole bool // the file ends in one
	for done < size {
		buf := u.buf[:min(chunk, size-done)]
		n, err := io.ReadFull(u.tar, buf)
		if err != nil {
			return readError(noEOF(err))
		}
		if hole = n == chunk && isZero(buf); !hole {
			if _, err := f.WriteAt(buf, done); err != nil {
				return err
			}
			if err := u.disk.wrote(f, int64(n)); err != nil {
				return err
			}
		}
		done += int64(n)
	}
	if hole {
		return f.Truncate(size)
	}
	return nil
}

// noEOF is for content that its header promised.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

var zeros [4096]byte

func isZero(p []byte) bool {
	for len(p) >= len(zeros) {
		if [4096]byte(p) != zeros {
			return false
		}
		p = p[len(zeros):]
	}
	return len(p) == 0
}

// disk keeps a layer from taking the last of the space that other users of the disk, and our own records, need.
type disk struct {
	unchecked int64
}

func (d *disk) wrote(f *os.File, n int64) error {
	if d.unchecked += n; d.unchecked < checkEvery {
		return nil
	}
	d.unchecked = 0
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return nil //nolint:nilerr // a file system that cannot tell still says when it is full
	}
	total, free := int64(st.Blocks)*st.Bsize, int64(st.Bavail)*st.Bsize
	if free < min(total/100, maxReserve) {
		return fmt.Errorf("write %q: %w", f.Name(), unix.ENOSPC)
	}
	return nil
}
