package engine

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The mount API of Linux 5.2 (fsopen(2), fsmount(2), open_tree(2), move_mount(2)) by file descriptors: nothing between the
// look at a folder and the mount on it can be swapped.

// newMount makes a file system that is mounted nowhere yet; source is its name in /proc/mounts. Options are NAME, VALUE pairs; an empty value is a flag.
func newMount(fstype, source string, attrs int, options ...[2]string) (*os.File, error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open file system %s: %w", fstype, err)
	}
	defer unix.Close(fs)
	for _, o := range append([][2]string{{"source", source}}, options...) {
		if o[1] == "" {
			err = unix.FsconfigSetFlag(fs, o[0])
		} else {
			err = unix.FsconfigSetString(fs, o[0], o[1])
		}
		if err != nil {
			return nil, fmt.Errorf("set %s=%s of %s: %w", o[0], o[1], fstype, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("make file system %s: %w", fstype, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attrs)
	if err != nil {
		return nil, fmt.Errorf("make mount of %s: %w", fstype, err)
	}
	return os.NewFile(uintptr(fd), fstype), nil
}

// cloneTree copies the mount at a path, with those below it if recursive: a bind that is mounted nowhere yet.
func cloneTree(path string, recursive bool) (*os.File, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, flags)
	if err != nil {
		return nil, fmt.Errorf("open tree %q: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// cloneTreeOutside copies the mount at a path as the process sees it, and not the locked thread of the caller.
func cloneTreeOutside(path string, recursive bool) (tree *os.File, err error) {
	done := make(chan struct{})
	go func() { // on another thread: the caller's is locked
		defer close(done)
		tree, err = cloneTree(path, recursive)
	}()
	<-done
	return tree, err
}

// moveMount mounts what newMount or cloneTree made, and closes it. An empty name stands for dir itself.
func moveMount(m, dir *os.File, name string) error {
	defer m.Close()
	flags := unix.MOVE_MOUNT_F_EMPTY_PATH
	if name == "" {
		flags |= unix.MOVE_MOUNT_T_EMPTY_PATH
	}
	if err := unix.MoveMount(int(m.Fd()), "", int(dir.Fd()), name, flags); err != nil {
		return fmt.Errorf("mount %s on %q: %w", m.Name(), name, err)
	}
	return nil
}

// openBelow opens an existing path below root without following any link: what an image holds there may lead anywhere.
func openBelow(root *os.File, path string, flags uint64) (*os.File, error) {
	fd, err := unix.Openat2(int(root.Fd()), path, &unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
