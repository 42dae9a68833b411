package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ctr/rootfs/inroot"
)

// Overlay is an overlay file system: read-only layers, and a folder that takes the changes. All folders exist. Work must be
// empty and on the file system of Upper.
type Overlay struct {
	Lower []string // the base first; none: what is seen is Upper alone
	// Upper takes the changes, Work is the kernel's. Both empty: the file system is read-only.
	Upper, Work string
	Target      string // where it is mounted; a symbolic link is refused
	ReadOnly    bool   // nothing can be written through this mount
	// Volatile leaves out every sync: faster, but Upper is worthless after a crash, and cannot be mounted again before
	// work/incompat/volatile is removed (kernel documentation, filesystems/overlayfs): Settle does so.
	Volatile bool
	// UserNS is the user namespace whose IDs the layers' owners become: root's files belong to its root. They are seen through
	// idmapped mounts (mount_setattr(2)) and stay as they are; what is written to Upper has the shifted owners. The calling
	// thread has a mount namespace of its own. Nil: all owners are as on the host.
	UserNS *os.File
}

// Mount mounts the overlay in the mount namespace of the calling thread. Whoever ends that namespace unmounts it.
func (o Overlay) Mount() error {
	if err := o.mount(); err != nil {
		return fmt.Errorf("mount root file system on %q: %w", o.Target, err)
	}
	return nil
}

// Open mounts the overlay nowhere, and opens its root: it is there as long as the file, and what is opened in it, is open.
// (Target is needed where the kernel is older than Linux 6.5, for a moment and in a mount namespace of its own.) The caller
// closes the file.
func (o Overlay) Open() (*os.File, error) {
	if o.UserNS != nil {
		return o.openShifted()
	}
	dirs, err := o.open()
	defer dirs.close()
	if err != nil {
		return nil, fmt.Errorf("open root file system: %w", err)
	}
	m, err := dirs.mount(o)
	if err == nil {
		defer unix.Close(m)
		return openMount(m)
	}
	if !errors.Is(err, unix.EINVAL) {
		return nil, fmt.Errorf("open root file system: %w", err)
	}
	var f *os.File
	err = WithPrivateMounts(func() error {
		// The kernel takes only folders that were opened in the namespace of the mount.
		dirs, err := o.open()
		defer dirs.close()
		if err != nil {
			return err
		}
		if err := dirs.mountOld(o); err != nil {
			return err
		}
		f, err = os.Open(o.Target)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open root file system: %w", err)
	}
	return f, nil
}

// openMount opens the root of a mount for reading; the descriptor of a mount itself is one of O_PATH.
func openMount(m int) (*os.File, error) {
	fd, err := unix.Openat(m, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open root of mount: %w", os.NewSyscallError("openat", err))
	}
	return os.NewFile(uintptr(fd), "/"), nil
}

func (o Overlay) mount() error {
	if (o.Upper == "") != (o.Work == "") {
		return errors.New("upper and work folder go together")
	}
	if o.Upper == "" && len(o.Lower) == 0 {
		return errors.New("neither a layer nor an upper folder")
	}
	dirs, err := o.open()
	defer dirs.close()
	if err != nil {
		return err
	}
	if o.UserNS != nil {
		if err := dirs.shift(o); err != nil {
			return err
		}
	}
	m, err := dirs.mount(o)
	if errors.Is(err, unix.EINVAL) {
		if old := dirs.mountOld(o); old == nil || errors.Is(old, ErrTooManyLayers) {
			return old
		}
	}
	if o.UserNS != nil && errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w (overlayfs has them since Linux 5.19): %w", ErrNoIDMap, err)
	}
	if err != nil {
		return err
	}
	defer unix.Close(m)
	err = unix.MoveMount(m, "", unix.AT_FDCWD, o.Target, unix.MOVE_MOUNT_F_EMPTY_PATH)
	return os.NewSyscallError("move_mount", err)
}

// overlayDirs are the folders of an overlay, held open. The kernel is told their descriptors as paths: these are short, so
// that hundreds of layers fit where only a page of text is taken, they need no escaping, and they cannot be swapped.
type overlayDirs struct {
	lower       []*os.File // the top first, as the kernel wants it
	upper, work *os.File
}

func (o Overlay) open() (dirs overlayDirs, err error) {
	for _, layer := range slices.Backward(o.Lower) {
		d, err := openOverlayDir(layer)
		if err != nil {
			return dirs, err
		}
		dirs.lower = append(dirs.lower, d)
		// The kernel does not look for this mark on the root of a layer.
		if isOpaque(d) {
			break
		}
	}
	if o.Upper == "" {
		return dirs, nil
	}
	if dirs.upper, err = openOverlayDir(o.Upper); err != nil {
		return dirs, err
	}
	dirs.work, err = openOverlayDir(o.Work)
	return dirs, err
}

func openOverlayDir(path string) (*os.File, error) {
	return os.OpenFile(path, unix.O_PATH|unix.O_DIRECTORY, 0)
}

func (d overlayDirs) close() {
	for _, f := range append([]*os.File{d.upper, d.work}, d.lower...) {
		if f != nil {
			f.Close()
		}
	}
}

func isOpaque(dir *os.File) bool {
	var value [1]byte
	// A descriptor of O_PATH takes no fgetxattr.
	n, err := unix.Getxattr(inroot.FdPath(dir), "trusted.overlay.opaque", value[:])
	return err == nil && n == 1 && value[0] == 'y'
}

// mount makes the mount, which is nowhere yet. The caller closes the descriptor.
func (d overlayDirs) mount(o Overlay) (int, error) {
	var attr int
	if o.ReadOnly {
		attr = unix.MOUNT_ATTR_RDONLY
	}
	switch {
	case len(d.lower) == 0:
		return bind(d.upper, attr)
	case len(d.lower) == 1 && d.upper == nil:
		// Older kernels want two layers where there is no upper folder.
		return bind(d.lower[0], unix.MOUNT_ATTR_RDONLY)
	}
	return d.configure(o, attr)
}

// bind makes a mount that shows a folder.
func bind(dir *os.File, attr int) (int, error) {
	m, err := unix.OpenTree(int(dir.Fd()), "", unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, os.NewSyscallError("open_tree", err)
	}
	if attr == 0 {
		return m, nil
	}
	if err := unix.MountSetattr(m, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: uint64(attr)}); err != nil {
		unix.Close(m)
		return -1, os.NewSyscallError("mount_setattr", err)
	}
	return m, nil
}

// configure makes the overlay with the mount API of Linux 5.2, each layer an option of its own (Linux 6.5).
func (d overlayDirs) configure(o Overlay, attr int) (int, error) {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, os.NewSyscallError("fsopen", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "source", "overlay"); err != nil {
		return -1, fsError(fs, "source", err)
	}
	for _, f := range d.lower {
		if err := unix.FsconfigSetString(fs, "lowerdir+", inroot.FdPath(f)); err != nil {
			return -1, fsError(fs, "lowerdir+", err)
		}
	}
	for _, option := range d.options(o) {
		if option[1] == "" {
			err = unix.FsconfigSetFlag(fs, option[0])
		} else {
			err = unix.FsconfigSetString(fs, option[0], option[1])
		}
		if err != nil {
			return -1, fsError(fs, option[0], err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fsError(fs, "create", err)
	}
	m, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attr)
	if err != nil {
		return -1, fsError(fs, "fsmount", err)
	}
	return m, nil
}

// options are those besides the layers. An option without a value is a flag.
func (d overlayDirs) options(o Overlay) [][2]string {
	// Another default of the kernel would write to the upper folder what ties it to exactly these layers' inodes.
	options := [][2]string{{"index", "off"}, {"metacopy", "off"}}
	if d.upper != nil {
		options = append(options, [2]string{"upperdir", inroot.FdPath(d.upper)}, [2]string{"workdir", inroot.FdPath(d.work)})
		if o.Volatile {
			options = append(options, [2]string{"volatile"})
		}
	}
	return options
}

// mountOld mounts with mount(2), which takes one page of options, about 220 layers, and leaves out what is behind it. It would
// follow a link at the target.
func (d overlayDirs) mountOld(o Overlay) error {
	var lower []string
	for _, f := range d.lower {
		lower = append(lower, inroot.FdPath(f))
	}
	options := []string{"lowerdir=" + strings.Join(lower, ":")}
	for _, option := range d.options(o) {
		options = append(options, strings.TrimSuffix(option[0]+"="+option[1], "="))
	}
	var flags uintptr
	if o.ReadOnly {
		flags = unix.MS_RDONLY
	}
	text := strings.Join(options, ",")
	if len(text) >= os.Getpagesize() {
		return fmt.Errorf("%w: %d, and Linux before 6.5 takes some 220", ErrTooManyLayers, len(lower))
	}
	target, err := os.OpenFile(o.Target, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer target.Close()
	return os.NewSyscallError("mount", unix.Mount("overlay", inroot.FdPath(target), "overlay", flags, text))
}

// fsError adds what the kernel says about the error; fsopen(2) file descriptors hand out its messages.
func fsError(fs int, step string, err error) error {
	buf := make([]byte, 1024)
	n, readErr := unix.Read(fs, buf)
	if readErr != nil || n < 3 {
		return fmt.Errorf("overlay: %s: %w", step, err)
	}
	// "e overlay: No changes allowed in ..."
	return fmt.Errorf("overlay: %s: %w: %s", step, err, strings.TrimSpace(string(buf[2:n])))
}

// Settle lets a volatile upper layer that was unmounted be mounted again, as the same system still has all of it in memory.
// Only a crash of the machine in between could have lost some.
func Settle(work string) error {
	if err := os.RemoveAll(filepath.Join(work, "work", "incompat", "volatile")); err != nil {
		return fmt.Errorf("settle volatile layer: %w", err)
	}
	return nil
}
