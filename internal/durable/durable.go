// Package durable writes small files that readers see either whole or not at all, and takes the locks of the few steps that
// need one. It owns no path of its own.
package durable

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxRecord is the most that a record may hold, in bytes. Records are a few KiB; anything near this is damage.
const maxRecord = 16 << 20

// ErrDamaged is returned by ReadJSON when the file is there but does not hold what it should.
var ErrDamaged = errors.New("damaged record")

// Sync says whether a write must survive a crash of the machine, or only one of the process.
type Sync bool

// The two kinds of writes. Fsync costs milliseconds on a disk: it is for what the user asked for, not for what a reboot
// takes anyway.
const (
	Fsync   Sync = true
	NoFsync Sync = false
)

// WriteFile replaces the file at path by one that holds data, atomically: a temporary file in the same folder, then rename(2).
// On error nothing is left behind and the old file is as it was.
func WriteFile(path string, data []byte, perm os.FileMode, sync Sync) (err error) {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
			err = fmt.Errorf("write %q: %w", path, err)
		}
	}()
	if _, err = tmp.Write(data); err != nil {
		return err
	}
	if err = tmp.Chmod(perm); err != nil {
		return err
	}
	if sync {
		if err = tmp.Sync(); err != nil {
			return err
		}
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	if sync {
		return SyncDir(dir)
	}
	return nil
}

// SyncDir makes the names in a folder survive a crash of the machine (fsync(2) of a directory).
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// WriteJSON writes v as JSON, as WriteFile does, readable by root only.
func WriteJSON(path string, v any, sync Sync) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	return WriteFile(path, append(data, '\n'), 0o600, sync)
}

// readRegular reads a record. It does without os.File, which asks the poller about each file, in vain: six system calls more, of
// which `ps` would pay thousands.
func readRegular(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) { // a link to itself, a socket
		return nil, fmt.Errorf("read %q: %w", path, ErrDamaged)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxRecord {
		return nil, fmt.Errorf("read %q: %w", path, ErrDamaged)
	}
	data := make([]byte, st.Size)
	for got := 0; got < len(data); {
		n, err := unix.Read(fd, data[got:])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, fmt.Errorf("read %q: %w", path, &os.PathError{Op: "read", Path: path, Err: err})
		case n == 0:
			return data[:got], nil // it was cut meanwhile
		default:
			got += n
		}
	}
	return data, nil
}

// ReadJSON reads what WriteJSON wrote. It returns an error that wraps os.ErrNotExist if there is no such file, and
// ErrDamaged if it is not a regular file, is larger than 16 MiB or does not parse. It never blocks on a FIFO.
func ReadJSON(path string, v any) error {
	data, err := readRegular(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read %q: %w: %w", path, ErrDamaged, err)
	}
	return nil
}

// Lock takes an exclusive flock(2) on the folder or file at path, waiting for it. The returned function gives it back; the
// kernel does so too when the process ends.
func Lock(path string) (unlock func(), err error) { return lock(path, unix.LOCK_EX) }

// TryLock does so without waiting. It returns unix.EWOULDBLOCK, wrapped, if somebody else holds the lock.
func TryLock(path string) (unlock func(), err error) { return lock(path, unix.LOCK_EX|unix.LOCK_NB) }

func lock(path string, how int) (unlock func(), err error) {
	fd, err := OpenLocked(path, how)
	if err != nil {
		return nil, err
	}
	return func() { unix.Close(fd) }, nil
}

// OpenLocked opens the folder or file at path and takes its flock(2); how is as there. The lock is that of the descriptor, which
// the caller closes, and of its copies.
func OpenLocked(path string, how int) (fd int, err error) {
	fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("lock %q: %w", path, os.NewSyscallError("open", err))
	}
	if err := Flock(fd, how); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("lock %q: %w", path, err)
	}
	return fd, nil
}

// Flock is flock(2) that goes on after signals.
func Flock(fd, how int) error {
	for {
		if err := unix.Flock(fd, how); !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("flock", err)
		}
	}
}
