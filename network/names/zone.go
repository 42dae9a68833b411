package names

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// The files of a zone that are no names: no name begins with a dot.
const (
	addressesDir = ".addresses"
	newEntry     = ".new"
)

// sweptByAdd is how many entries of a name an Add looks at, to remove those whose process has ended.
const sweptByAdd = 8

// Zone is the names of one network. Dir need not exist: it is made by the first entry.
type Zone struct{ Dir string }

// Add makes the zone answer the name with the address while the owner's process runs. It replaces, atomically, what stood
// there: who may use an address is decided by its lease, not here. A name may have many addresses, an address many names. A
// name that no DNS question can carry is no error and makes no entry. Add is idempotent.
func (z Zone) Add(name string, addr netip.Addr, o Owner) error {
	file, ok := appendFileName(nil, name)
	if err := validate(addr, o); err != nil {
		return fmt.Errorf("add name %q: %w", name, err)
	}
	if !ok {
		return nil
	}
	err := z.locked(true, func(dir int) error {
		if err := put(dir, string(file), fileOf(addr), o.String()); err != nil {
			return err
		}
		return sweepFolder(dir, string(file), sweptByAdd, dead)
	})
	if err != nil {
		return fmt.Errorf("add name %q: %w", name, err)
	}
	return nil
}

// SetReverse makes the zone answer the address with the name, in the spelling that is given, while the owner's process runs.
// It replaces, atomically, what stood there, and is idempotent. As with Add, a name that no DNS question can carry makes no
// entry.
func (z Zone) SetReverse(addr netip.Addr, name string, o Owner) error {
	_, ok := appendFileName(nil, name)
	if err := validate(addr, o); err != nil {
		return fmt.Errorf("add address %s: %w", addr, err)
	}
	if !ok {
		return nil
	}
	err := z.locked(true, func(dir int) error {
		return put(dir, addressesDir, fileOf(addr), o.String()+":"+name)
	})
	if err != nil {
		return fmt.Errorf("add address %s: %w", addr, err)
	}
	return nil
}

// Remove takes the entry away if it is the owner's with this ID, and leaves anybody else's. A nil error means that the zone
// holds no such entry of this owner. Its cost does not grow with the zone.
func (z Zone) Remove(name string, addr netip.Addr, id string) error {
	file, ok := appendFileName(nil, name)
	if !ok {
		return nil
	}
	if err := z.locked(false, func(dir int) error { return drop(dir, string(file), fileOf(addr), id) }); err != nil {
		return fmt.Errorf("remove name %q: %w", name, err)
	}
	return nil
}

// RemoveReverse takes away what SetReverse set, as Remove does.
func (z Zone) RemoveReverse(addr netip.Addr, id string) error {
	if err := z.locked(false, func(dir int) error { return drop(dir, addressesDir, fileOf(addr), id) }); err != nil {
		return fmt.Errorf("remove address %s: %w", addr, err)
	}
	return nil
}

// RemoveOwner takes away every entry of the owner with this ID, names and addresses. A nil error means that none is left. It
// reads the whole zone: it is for when nobody remembers the names, else there are Remove and RemoveReverse.
func (z Zone) RemoveOwner(id string) error {
	return z.sweep(func(e Owner) bool { return e.ID == id })
}

func dead(e Owner) bool { return !e.Process.Alive() }

func (z Zone) sweep(remove func(Owner) bool) error {
	err := z.locked(false, func(dir int) error {
		folders, err := list(dir)
		if err != nil {
			return err
		}
		var errs []error
		for _, folder := range folders {
			if folder != newEntry {
				errs = append(errs, sweepFolder(dir, folder, -1, remove))
			}
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return fmt.Errorf("sweep names %q: %w", z.Dir, err)
	}
	return nil
}

// locked runs f with the open folder of the zone, holding its lock. Without create, a folder that is not there is done.
func (z Zone) locked(create bool, f func(dir int) error) error {
	if create {
		if err := os.MkdirAll(z.Dir, 0o700); err != nil {
			return err
		}
	}
	dir, err := unix.Open(z.Dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if !create && errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: z.Dir, Err: err}
	}
	defer unix.Close(dir) // which unlocks
	for {
		err = unix.Flock(dir, unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return os.NewSyscallError("flock", err)
	}
	// Whoever wrote ".new" held the lock: if it is still there, its writer was killed.
	if err := unix.Unlinkat(dir, newEntry, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "unlinkat", Path: newEntry, Err: err}
	}
	return f(dir)
}

// put makes the entry folder/file with the text. The caller holds the lock.
func put(dir int, folder, file, text string) error {
	if err := unix.Mkdirat(dir, folder, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return &os.PathError{Op: "mkdirat", Path: folder, Err: err}
	}
	path := folder + "/" + file
	err := unix.Symlinkat(text, dir, path)
	if errors.Is(err, unix.EEXIST) {
		// A folder that is being read may show neither the old nor the new of two entries: what is right stays as it is.
		var now [maxEntry]byte
		if n, err := unix.Readlinkat(dir, path, now[:]); err == nil && string(now[:n]) == text {
			return nil
		}
		if err = unix.Symlinkat(text, dir, newEntry); err == nil {
			err = unix.Renameat(dir, newEntry, dir, path)
		}
	}
	if err != nil {
		return errors.Join(&os.LinkError{Op: "symlinkat", Old: text, New: path, Err: err}, removeIfEmpty(dir, folder))
	}
	return nil
}

// drop removes the entry folder/file if it is the owner's, and the folder if it is empty then. The caller holds the lock.
func drop(dir int, folder, file, id string) error {
	path := folder + "/" + file
	var text [maxEntry]byte
	n, err := unix.Readlinkat(dir, path, text[:])
	if errors.Is(err, unix.ENOENT) {
		return removeIfEmpty(dir, folder) // whoever made the folder may have been killed before the entry
	}
	if errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "readlinkat", Path: path, Err: err}
	}
	if e, ok := readOwner(text[:n]); ok && e.ID != id {
		return nil
	}
	if err := unix.Unlinkat(dir, path, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "unlinkat", Path: path, Err: err}
	}
	return removeIfEmpty(dir, folder)
}

// sweepFolder removes the entries of a folder that remove tells, and those that do not parse, and the folder if it is empty
// then. It looks at no more than limit entries, or at all of them if that is negative. The caller holds the lock.
func sweepFolder(dir int, folder string, limit int, remove func(Owner) bool) error {
	fd, err := unix.Openat(dir, folder, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "openat", Path: folder, Err: err}
	}
	f := os.NewFile(uintptr(fd), folder)
	defer f.Close()
	files, err := f.Readdirnames(limit)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	var errs []error
	for _, file := range files {
		var text [maxEntry]byte
		if n, err := unix.Readlinkat(fd, file, text[:]); err == nil {
			if e, ok := readOwner(text[:n]); ok && !remove(e) {
				continue
			}
		}
		if err := unix.Unlinkat(fd, file, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, &os.PathError{Op: "unlinkat", Path: folder + "/" + file, Err: err})
		}
	}
	return errors.Join(append(errs, removeIfEmpty(dir, folder))...)
}

func removeIfEmpty(dir int, folder string) error {
	err := unix.Unlinkat(dir, folder, unix.AT_REMOVEDIR)
	// EEXIST: rmdir(2) lets a file system say so for "not empty".
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
		return &os.PathError{Op: "rmdir", Path: folder, Err: err}
	}
	return nil
}

// list returns the names of the files in an open folder.
func list(fd int) ([]string, error) {
	dup, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("openat", err)
	}
	f := os.NewFile(uintptr(dup), "fd:"+strconv.Itoa(fd))
	defer f.Close()
	return f.Readdirnames(-1)
}

func validate(addr netip.Addr, o Owner) error {
	if !addr.IsValid() || addr.Zone() != "" {
		return fmt.Errorf("malformed address %q", addr)
	}
	return o.validate()
}

// fileOf returns the file name of an address: its one canonical text, so that ::ffff:10.0.0.1 and 10.0.0.1 are the same.
func fileOf(addr netip.Addr) string { return addr.Unmap().String() }
