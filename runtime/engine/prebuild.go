package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	devices "github.com/opencontainers/cgroups/devices/config"
	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	"ctr/internal/span"
	"ctr/rootfs"
)

// The folders beside the record on which parts of the container are mounted, in the caller's mount namespace, until the init
// binds them to their places.
const (
	devStage    = "dev"
	cgroupStage = "cgroup"
	sharedStage = "shared" // with a file or folder for each bind
)

var stages = []string{devStage, cgroupStage, sharedStage}

func (c Config) stage(name string) string { return filepath.Join(c.StateDir, c.Spec.ID, name) }

// prebuild makes, in the caller's mount namespace, most of what libcontainer's init would make in the container's: /dev with
// its nodes, devpts and shm, and the cgroups. It does in some 50 system calls what takes the init
// several hundred, because nobody can look on yet: 3 to 4 ms less a start. What it made is taken out of the config; the
// recursive bind of the root file system carries it along.
func (c Config) prebuild(config *configs.Config, h host) error {
	defer span.Begin("prebuild mounts").End()
	if ownsDev(config.Mounts) {
		if err := c.prebuildDev(config); err != nil {
			return fmt.Errorf("make /dev: %w", err)
		}
	}
	if err := c.prebuildCgroups(config, h.hierarchies); err != nil {
		return fmt.Errorf("make /sys/fs/cgroup: %w", err)
	}
	return c.prebuildShared(config)
}

func ownsDev(mounts []*configs.Mount) bool {
	return slices.ContainsFunc(mounts, func(m *configs.Mount) bool { return m.Destination == "/dev" && m.Device == "tmpfs" })
}

// prebuildDev makes /dev. libcontainer is told that it is a bind, and then adds nothing but the mounts of the user and of
// the IPC namespace.
func (c Config) prebuildDev(config *configs.Config) error {
	dev, err := c.mountStage(devStage, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_STRICTATIME, [2]string{"mode", "755"}, [2]string{"size", devSize})
	if err != nil {
		return err
	}
	defer dev.Close()
	// A node elsewhere than in /dev would have to be made in the writable layer, where it stayed: it is a bind.
	c.bindDevices(config, func(target string) bool { return !strings.HasPrefix(target, "/dev/") })
	if err := makeNodes(dev, config.Devices); err != nil {
		return err
	}
	if err := makeDevLinks(dev); err != nil {
		return err
	}
	pts, err := newMount("devpts", "devpts", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC,
		[2]string{"newinstance"}, [2]string{"ptmxmode", "0666"}, [2]string{"mode", "0620"}, [2]string{"gid", "5"})
	if err != nil {
		return err
	}
	if err := mountIn(dev, "pts", pts); err != nil {
		return err
	}
	if err := c.prebuildShm(dev, config); err != nil {
		return err
	}
	config.Devices = nil
	config.Mounts = slices.DeleteFunc(config.Mounts, func(m *configs.Mount) bool {
		return m.Destination == "/dev/pts" && m.Device == "devpts"
	})
	i := slices.IndexFunc(config.Mounts, func(m *configs.Mount) bool { return m.Destination == "/dev" })
	config.Mounts[i] = bindMount(c.stage(devStage), "/dev", false, true)
	return nil
}

// prebuildShared takes the sources of binds with shared propagation from the mount namespace of the process: in the caller's,
// where all mounts are slaves, they are not what the host has, and what the container mounts there would not reach it. What is
// held open by a descriptor is taken here too: mount(2) takes only what is mounted in the init's own mount namespace.
func (c Config) prebuildShared(config *configs.Config) error {
	var stage *os.File
	for i, m := range config.Mounts {
		shared := len(m.PropagationFlags) > 0 && m.PropagationFlags[0]&unix.MS_SHARED != 0
		if !shared && !strings.HasPrefix(m.Source, "/proc/"+strconv.Itoa(os.Getpid())+"/fd/") {
			continue
		}
		if stage == nil {
			var err error
			if stage, err = c.mountStage(sharedStage, unix.MOUNT_ATTR_NOSUID, [2]string{"mode", "700"}); err != nil {
				return fmt.Errorf("share mounts: %w", err)
			}
			defer stage.Close()
		}
		open := cloneTree
		if shared {
			open = cloneTreeOutside
		}
		tree, err := open(m.Source, m.Flags&unix.MS_REC != 0)
		if err != nil {
			return fmt.Errorf("share mounts: %w", err)
		}
		name := strconv.Itoa(i)
		if err := mountIn(stage, name, tree); err != nil {
			return fmt.Errorf("share mount %q: %w", m.Source, err)
		}
		m.Source = filepath.Join(c.stage(sharedStage), name)
	}
	return nil
}

// mountStage mounts a new tmpfs on a stage, and opens its root.
func (c Config) mountStage(name string, attrs int, options ...[2]string) (*os.File, error) {
	stage := c.stage(name)
	if err := os.Mkdir(stage, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	tmpfs, err := newMount("tmpfs", "tmpfs", attrs, options...)
	if err != nil {
		return nil, err
	}
	dir, err := openFolder(stage)
	if err != nil {
		tmpfs.Close()
		return nil, err
	}
	defer dir.Close()
	if err := moveMount(tmpfs, dir, ""); err != nil {
		return nil, err
	}
	return openFolder(stage)
}

// replaceNull gives the program the /dev/null of the new /dev where it would have the host's: that node's mode and owner
// could be changed through it. The caller closes the file, which is nil if there is nothing to replace.
func (c Config) replaceNull(io *Stdio) (*os.File, error) {
	null, err := os.OpenFile(filepath.Join(c.stage(devStage), "null"), unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // /dev is the user's
	} else if err != nil {
		return nil, err
	}
	for _, f := range []**os.File{&io.Stdin, &io.Stdout, &io.Stderr} {
		if *f == nil || isNull(*f) {
			*f = null
		}
	}
	return null, nil
}

func isNull(f *os.File) bool {
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
}

// unmountStages is for the end of Create, when the init has its own copies.
func (c Config) unmountStages() {
	for _, name := range stages {
		// An error means that nothing is mounted. A mount that stays would end with the caller's mount namespace.
		_ = unix.Unmount(c.stage(name), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}
}

func openFolder(path string) (*os.File, error) {
	return os.OpenFile(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// prebuildShm makes /dev/shm: new, the host's, or that of the container whose IPC namespace is joined.
func (c Config) prebuildShm(dev *os.File, config *configs.Config) (err error) {
	i := slices.IndexFunc(config.Mounts, func(m *configs.Mount) bool { return m.Destination == "/dev/shm" })
	if i < 0 || !reflect.DeepEqual(config.Mounts[i], shmMount(c)) {
		return nil // the user's
	}
	var shm *os.File
	switch {
	case c.IPCNS == HostNS:
		shm, err = cloneTree("/dev/shm", true)
	case c.Shm != 0:
		shm, err = rootfs.CloneTreeOf(c.Shm, "/dev/shm")
	default:
		size := strconv.FormatInt(c.shmSize(), 10)
		shm, err = newMount("tmpfs", "shm", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC,
			[2]string{"mode", "1777"}, [2]string{"size", size})
	}
	if err != nil {
		return err
	}
	config.Mounts = slices.Delete(config.Mounts, i, i+1)
	return mountIn(dev, "shm", shm)
}

// mountIn mounts m on a new folder, or on a new file if it is one, and closes it.
func mountIn(dir *os.File, name string, m *os.File) error {
	var st unix.Stat_t
	err := unix.Fstat(int(m.Fd()), &st)
	switch {
	case err != nil:
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		err = unix.Mkdirat(int(dir.Fd()), name, 0o755)
	default:
		err = unix.Mknodat(int(dir.Fd()), name, unix.S_IFREG|0o644, 0)
	}
	if err != nil {
		m.Close()
		return err
	}
	return moveMount(m, dir, name)
}

// makeNodes makes device nodes in an empty /dev, with the modes and owners that they have on the host.
func makeNodes(dev *os.File, nodes []*devices.Device) error {
	for _, n := range nodes {
		name, err := filepath.Rel("/dev", n.Path)
		if err != nil || strings.HasPrefix(name, "../") {
			return fmt.Errorf("device target %q is not in /dev", n.Path)
		}
		if err := makeFolders(dev, filepath.Dir(name)); err != nil {
			return fmt.Errorf("make folder of %q: %w", n.Path, err)
		}
		if err := makeNode(dev, name, n); err != nil {
			return fmt.Errorf("make %q: %w", n.Path, err)
		}
	}
	return nil
}

func makeNode(dev *os.File, name string, n *devices.Device) error {
	number, err := n.Mkdev()
	if err != nil {
		return err
	}
	mode := uint32(n.FileMode)
	switch n.Type {
	case devices.BlockDevice:
		mode |= unix.S_IFBLK
	case devices.FifoDevice:
		mode |= unix.S_IFIFO
	default:
		mode |= unix.S_IFCHR
	}
	if err := unix.Mknodat(int(dev.Fd()), name, mode, int(number)); err != nil {
		return err
	}
	if err := unix.Fchownat(int(dev.Fd()), name, int(n.Uid), int(n.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	return unix.Fchmodat(int(dev.Fd()), name, mode&0o7777, 0) // mknod(2) heeds the umask
}

// makeFolders is mkdir -p in the new /dev, where there are no links.
func makeFolders(dev *os.File, path string) error {
	if path == "." {
		return nil
	}
	if err := makeFolders(dev, filepath.Dir(path)); err != nil {
		return err
	}
	if err := unix.Mkdirat(int(dev.Fd()), path, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

func makeDevLinks(dev *os.File) error {
	links := [][2]string{
		{"/proc/self/fd", "fd"},
		{"/proc/self/fd/0", "stdin"},
		{"/proc/self/fd/1", "stdout"},
		{"/proc/self/fd/2", "stderr"},
		{"pts/ptmx", "ptmx"},
	}
	if _, err := os.Stat("/proc/kcore"); err == nil {
		links = append(links, [2]string{"/proc/kcore", "core"})
	}
	for _, l := range links {
		if err := unix.Symlinkat(l[0], int(dev.Fd()), l[1]); err != nil {
			return fmt.Errorf("make link %q: %w", l[1], err)
		}
	}
	return nil
}

// prebuildFiles binds the files that ctr gives, where the image has a plain file for each and no mount of the user comes
// between. The others are left to libcontainer.
func (c Config) prebuildFiles(config *configs.Config) error {
	root, err := os.OpenFile(c.Rootfs, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open root file system: %w", err)
	}
	defer root.Close()
	for _, b := range c.Binds {
		i := slices.IndexFunc(config.Mounts, func(m *configs.Mount) bool { return m.Destination == b.Target && m.Source == b.Source })
		above := func(m *configs.Mount) bool { return strings.HasPrefix(b.Target, m.Destination+"/") }
		if i < 0 || b.ReadOnly || slices.ContainsFunc(config.Mounts, above) {
			continue
		}
		target, err := openBelow(root, strings.TrimPrefix(b.Target, "/"), unix.O_PATH|unix.O_NOFOLLOW)
		if err != nil {
			continue
		}
		err = bindFile(b.Source, target)
		target.Close()
		if err != nil {
			return fmt.Errorf("bind %q: %w", b.Target, err)
		}
		config.Mounts = slices.Delete(config.Mounts, i, i+1)
	}
	return nil
}

func bindFile(source string, target *os.File) error {
	tree, err := cloneTree(source, false)
	if err != nil {
		return err
	}
	return moveMount(tree, target, "")
}
