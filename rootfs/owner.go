package rootfs

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ctr/internal/idmap"
)

// GiveStreams makes the program's ends of its streams the container's root's; nil ones are left out. Its /dev/stdout leads to them,
// and its namespace has no other user that could own them, or give them to the program's.
func GiveStreams(ids idmap.Map, streams ...*os.File) error {
	if ids.IsZero() {
		return nil
	}
	uid, gid, _ := ids.Outside(0, 0)
	for _, f := range streams {
		if f == nil || f.Name() == os.DevNull {
			continue
		}
		if err := f.Chown(uid, gid); err != nil {
			return fmt.Errorf("give stream to container: %w", err)
		}
	}
	return nil
}

// WithOwner runs f on a thread of its own on which what is made belongs to the container's root, and waits for it. Where files are
// seen through an idmapped mount, no other owner that we have could make any. Goroutines that f starts are not on that thread.
func WithOwner(ids idmap.Map, f func() error) error {
	if ids.IsZero() {
		return f()
	}
	return onOwnThread(func() error {
		back, err := becomeOwner(ids)
		if err != nil {
			return err
		}
		defer back()
		return f()
	})
}

// becomeOwner makes the container's root the owner of what the calling thread makes, which is locked. The thread keeps its
// capabilities, which the kernel takes with a change to any user but root (capabilities(7)).
func becomeOwner(ids idmap.Map) (back func(), err error) {
	uid, gid, ok := ids.Outside(0, 0)
	if !ok {
		return nil, fmt.Errorf("act as the container's root: it has none")
	}
	back = func() {
		_, _ = unix.SetfsuidRetUid(0)
		_, _ = unix.SetfsgidRetGid(0)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return nil, fmt.Errorf("act as the container's root: %w", os.NewSyscallError("capget", err))
	}
	_, _ = unix.SetfsgidRetGid(gid) // they have no errors: what they could not do, the files made would show
	_, _ = unix.SetfsuidRetUid(uid)
	if err := unix.Capset(&header, &caps[0]); err != nil {
		back()
		return nil, fmt.Errorf("act as the container's root: %w", os.NewSyscallError("capset", err))
	}
	return back, nil
}
