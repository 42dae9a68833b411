package engine

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	devices "github.com/opencontainers/cgroups/devices/config"
	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	"ctr/internal/idmap"
	"ctr/rootfs"
	"ctr/runtime/engine/pid1"
)

// mapUsers puts the container into its user namespace.
func (c Config) mapUsers(config *configs.Config) error {
	if _, _, ok := c.IDs.Outside(c.User.UID, c.User.GID); !ok {
		return fmt.Errorf("user %d:%d is not among those of the container's user namespace", c.User.UID, c.User.GID)
	}
	for _, g := range c.User.Groups {
		if _, _, ok := c.IDs.Outside(0, g); !ok {
			return fmt.Errorf("group %d is not among those of the container's user namespace", g)
		}
	}
	path := "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(int(c.UserNS.Fd()))
	config.Namespaces = append(config.Namespaces, configs.Namespace{Type: configs.NEWUSER, Path: path})
	config.UIDMappings, config.GIDMappings = ranges(c.IDs.UIDs), ranges(c.IDs.GIDs)
	return nil
}

func ranges(of []idmap.Range) []configs.IDMap {
	var out []configs.IDMap
	for _, r := range of {
		out = append(out, configs.IDMap{ContainerID: int64(r.Inside), HostID: int64(r.Outside), Size: int64(r.Size)})
	}
	return out
}

// lastGroup is the highest group that a container has, for the kernel takes no other in its settings.
func (c Config) lastGroup() int {
	const most = 1<<31 - 1
	if c.UserNS == nil {
		return most
	}
	last := 0
	for _, r := range c.IDs.GIDs {
		last = max(last, int(r.Inside)+int(r.Size)-1)
	}
	return min(last, most)
}

// stageForUserNS takes what the init has to bind to where it can reach it: its user owns nothing on the host, and the folders of
// an installation are root's alone. All else is left to the init, in whose user namespace the file systems have to be mounted for
// their owners to be right. (What prebuild saves is lost: device nodes, for one, can only be binds here.)
//
// The files are shown with the container's owners, but for those of the root file system that Overlay has shifted already. All of
// them are opened before the stage hides a folder of the host in the caller's mount namespace.
func (c Config) stageForUserNS(config *configs.Config) (unstage func(), err error) {
	var trees []*os.File
	defer func() {
		for _, t := range trees {
			t.Close()
		}
	}()
	root, err := c.rootTree()
	if err != nil {
		return nil, err
	}
	trees = append(trees, root)
	var binds []*configs.Mount
	c.bindDevices(config, func(string) bool { return true })
	for _, m := range config.Mounts {
		if m.Device != "bind" && m.Flags&unix.MS_BIND == 0 && (m.Destination != "/dev/shm" || c.Shm == 0) {
			continue
		}
		tree, err := c.bindTree(m)
		if err != nil {
			return nil, fmt.Errorf("mount %q: %w", m.Destination, err)
		}
		trees, binds = append(trees, tree), append(binds, m)
	}
	place, rootPlace, err := c.publicFolders()
	if err != nil {
		return nil, err
	}
	if err := unix.Mount("stage", place, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return nil, fmt.Errorf("mount stage on %q: %w", place, os.NewSyscallError("mount", err))
	}
	unstage = func() { // of what stays, the end of the caller's mount namespace is the end
		_ = unix.Unmount(place, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		_ = unix.Unmount(rootPlace, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}
	defer func() {
		if err != nil {
			unstage()
		}
	}()
	stage, err := openFolder(place)
	if err != nil {
		return nil, err
	}
	defer stage.Close()
	for i, m := range binds {
		name := strconv.Itoa(i)
		if err := mountIn(stage, name, trees[1+i]); err != nil {
			return nil, fmt.Errorf("stage mount: %w", err)
		}
		m.Source = filepath.Join(place, name)
	}
	// Not in the stage: the folder itself is there as long as the container runs, for Exec.
	config.Rootfs = rootPlace
	dir, err := openFolder(rootPlace)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return unstage, moveMount(root, dir, "")
}

// rootTree opens the root file system: a folder of the user's is shifted here.
func (c Config) rootTree() (*os.File, error) {
	if c.Spec.Rootfs.Dir == "" {
		return cloneTree(c.Rootfs, true)
	}
	tree, err := rootfs.CloneIDMapped(unix.AT_FDCWD, c.Rootfs, true, c.UserNS)
	if err != nil {
		return nil, fmt.Errorf("use root file system %q: %w", c.Rootfs, err)
	}
	return tree, nil
}

// bindTree opens what one mount shows.
func (c Config) bindTree(m *configs.Mount) (*os.File, error) {
	recursive := m.Flags&unix.MS_REC != 0
	switch {
	case m.Destination == "/dev/shm" && c.Shm != 0 && m.Device == "tmpfs":
		*m = *bindMount("", "/dev/shm", false, true)
		return rootfs.CloneTreeOf(c.Shm, "/dev/shm")
	case m.Destination == pid1.Path || m.Flags == deviceBind:
		// Our own binary, for --init, and the nodes of devices belong to the host's root and stay so.
		return cloneTree(m.Source, recursive)
	}
	return rootfs.CloneIDMapped(unix.AT_FDCWD, m.Source, recursive, c.UserNS)
}

// deviceBind are the flags of a bind of a device's node, and of no other.
const deviceBind = unix.MS_BIND | unix.MS_NOSUID | unix.MS_NOEXEC

// bindDevices shows those of the devices that have another name in the container than on the host, and that are to be binds,
// by the nodes of the host.
func (c Config) bindDevices(config *configs.Config, toBind func(target string) bool) {
	config.Devices = slices.DeleteFunc(slices.Clone(config.Devices), func(d *devices.Device) bool {
		source := c.deviceSource(d.Path)
		if source == d.Path || !toBind(d.Path) {
			return false
		}
		m := bindMount(source, d.Path, false, false)
		m.Flags = deviceBind
		config.Mounts = append(config.Mounts, m)
		return true
	})
}

// deviceSource returns the host's node for one of the container's.
func (c Config) deviceSource(node string) string {
	for _, asked := range c.Spec.Security.Devices {
		target := filepath.Clean(cmp.Or(asked.Target, asked.Source))
		below, ok := strings.CutPrefix(node, target)
		if source, err := filepath.EvalSymlinks(asked.Source); ok && err == nil && (below == "" || below[0] == '/') {
			return source + below
		}
	}
	return node
}

// public are folders that are on every machine, open to all, and hold nothing that is needed between stage and start.
var public = []string{"/mnt", "/media", "/srv", "/opt", "/home", "/tmp", "/var"}

// publicFolders returns two folders that any user can reach, and that the state of the container is not in.
func (c Config) publicFolders() (stage, root string, err error) {
	state, err := filepath.EvalSymlinks(c.StateDir)
	if err != nil {
		return "", "", fmt.Errorf("find place for stage: %w", err)
	}
	for _, dir := range public {
		var st unix.Stat_t
		if unix.Lstat(dir, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR || strings.HasPrefix(state+"/", dir+"/") {
			continue
		}
		if stage != "" {
			return stage, dir, nil
		}
		stage = dir
	}
	return "", "", errors.New("find place for stage: want two of the folders " + strings.Join(public, ", "))
}
