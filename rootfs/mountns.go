package rootfs

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// WithPrivateMounts runs f on a thread of its own that has a mount namespace of its own, and waits for it. What f mounts is
// seen by f's thread and by the processes that f starts, never in the mount table of the host; what the host mounts meanwhile
// is seen by f. The namespace ends with the thread, unless a process that f started is still in it.
//
// Goroutines that f starts do not run in the namespace. Processes that f starts must not ask for PR_SET_PDEATHSIG, which
// follows the thread.
func WithPrivateMounts(f func() error) error {
	return onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
			return fmt.Errorf("make mount namespace: %w", os.NewSyscallError("unshare", err))
		}
		// Slave, not private: an unmount on the host must not find its mount held by a copy that nobody sees.
		if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("make mount namespace: %w", os.NewSyscallError("mount", err))
		}
		return f()
	})
}

// OpenBare opens the root file system that a process sees, without what is mounted on it. The caller closes the file.
func OpenBare(pid int) (f *os.File, err error) {
	err = onOwnThread(func() error {
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid))
		if err != nil {
			return err
		}
		defer ns.Close()
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		// A mount can be copied only from where it is (open_tree(2)).
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
			return os.NewSyscallError("setns", err)
		}
		m, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return os.NewSyscallError("open_tree", err)
		}
		defer unix.Close(m)
		f, err = openMount(m)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open root file system of process %d: %w", pid, err)
	}
	return f, nil
}

// onOwnThread runs f on a thread that ends afterwards. It is never the main thread of the process: the Go runtime cannot end
// that one but parks it for ever, and its namespaces would live as long as the process.
func onOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread stays locked to this goroutine meanwhile, so that the next one cannot get it.
			defer runtime.UnlockOSThread()
			done <- onOwnThread(f)
			return
		}
		done <- f() // never unlocked: the thread ends with this goroutine
	}()
	err, returned := <-done
	if !returned {
		runtime.Goexit() // f did, as a test that fails does
	}
	return err
}

// CloneTreeOf copies the mount at a path as another process sees it, with those below it, to one that is mounted nowhere yet. The
// thread that looks is thrown away.
func CloneTreeOf(pid int, path string) (tree *os.File, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		ns, openErr := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid))
		if openErr != nil {
			err = openErr
			return
		}
		defer ns.Close()
		if err = unix.Unshare(unix.CLONE_FS); err != nil {
			return
		}
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
			return
		}
		tree, err = CloneIDMapped(unix.AT_FDCWD, path, true, nil)
	}()
	<-done
	if err != nil {
		return nil, fmt.Errorf("look into process %d: %w", pid, err)
	}
	return tree, nil
}
