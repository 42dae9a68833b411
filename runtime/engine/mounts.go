package engine

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	"ctr/runtime/container"
	"ctr/runtime/engine/pid1"
)

const (
	defaultShmSize = 64 << 20 // bytes, as in Docker
	devSize        = "65536k"

	noneMayPass = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
)

// mounts lists everything that is mounted below the root, parents before children. The last of those with the same target
// wins: the user's over the files that ctr gives, and over the defaults.
func mounts(c Config, h host) ([]*configs.Mount, error) {
	own, err := userMounts(c.Mounts)
	if err != nil {
		return nil, err
	}
	all := append(systemMounts(c), fileMounts(c.Binds)...)
	if c.Spec.Init {
		if slices.ContainsFunc(own, func(m *configs.Mount) bool { return m.Destination == "/dev" || m.Destination == pid1.Path }) {
			return nil, errors.New("--init needs a /dev of the container's own, but something is mounted there")
		}
		all = append(all, bindMount(h.executable, pid1.Path, true, false))
	}
	all = slices.DeleteFunc(all, func(m *configs.Mount) bool {
		return slices.ContainsFunc(own, func(o *configs.Mount) bool {
			return o.Destination == m.Destination || o.Destination == "/dev" && strings.HasPrefix(m.Destination, "/dev/")
		})
	})
	all = append(all, own...)
	slices.SortStableFunc(all, func(a, b *configs.Mount) int {
		return strings.Count(a.Destination, "/") - strings.Count(b.Destination, "/")
	})
	return all, nil
}

// systemMounts are those of every container, with Docker's options.
func systemMounts(c Config) []*configs.Mount {
	readonly := unix.MS_RDONLY
	if c.Spec.Security.Privileged {
		readonly = 0
	}
	list := []*configs.Mount{
		{Device: "proc", Source: "proc", Destination: "/proc", Flags: noneMayPass},
		{Device: "tmpfs", Source: "tmpfs", Destination: "/dev", Flags: unix.MS_NOSUID | unix.MS_STRICTATIME, Data: "mode=755,size=" + devSize},
		{Device: "sysfs", Source: "sysfs", Destination: "/sys", Flags: noneMayPass | readonly},
		{
			Device: "devpts", Source: "devpts", Destination: "/dev/pts", Flags: unix.MS_NOSUID | unix.MS_NOEXEC,
			Data: "newinstance,ptmxmode=0666,mode=0620,gid=5",
		},
		{Device: "mqueue", Source: "mqueue", Destination: "/dev/mqueue", Flags: noneMayPass},
	}
	if c.Spec.Namespaces.IPC != container.ModeNone {
		list = append(list, shmMount(c))
	}
	return append(list, &configs.Mount{Device: "cgroup", Source: "cgroup", Destination: "/sys/fs/cgroup", Flags: noneMayPass | readonly})
}

// shmMount is the container's POSIX shared memory, which belongs to the IPC namespace: the host's with the host's namespace.
func shmMount(c Config) *configs.Mount {
	if c.IPCNS == HostNS {
		return bindMount("/dev/shm", "/dev/shm", false, true)
	}
	return &configs.Mount{
		Device: "tmpfs", Source: "shm", Destination: "/dev/shm", Flags: noneMayPass,
		Data: fmt.Sprintf("mode=1777,size=%d", c.shmSize()),
	}
}

func (c Config) shmSize() int64 {
	if size := c.Spec.Resources.ShmSize; size > 0 {
		return size
	}
	return defaultShmSize
}

func fileMounts(binds []Bind) []*configs.Mount {
	var list []*configs.Mount
	for _, b := range binds {
		list = append(list, bindMount(b.Source, b.Target, b.ReadOnly, true))
	}
	return list
}

// bindMount shows source at target, in the container's namespace only. A read-only bind is so with all that is mounted below
// it (mount_setattr(2), Linux 5.12), as in Docker since version 25.
func bindMount(source, target string, readonly, recursive bool) *configs.Mount {
	m := &configs.Mount{
		Device: "bind", Source: source, Destination: target, Flags: unix.MS_BIND,
		PropagationFlags: []int{unix.MS_PRIVATE | unix.MS_REC},
	}
	if recursive {
		m.Flags |= unix.MS_REC
	}
	if readonly {
		m.Flags |= unix.MS_RDONLY
		if recursive {
			m.RecAttr = &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		}
	}
	return m
}

// propagations are the values of bind-propagation.
var propagations = map[string]int{
	"": unix.MS_PRIVATE | unix.MS_REC, "rprivate": unix.MS_PRIVATE | unix.MS_REC, "private": unix.MS_PRIVATE,
	"rslave": unix.MS_SLAVE | unix.MS_REC, "slave": unix.MS_SLAVE,
	"rshared": unix.MS_SHARED | unix.MS_REC, "shared": unix.MS_SHARED,
}

// userMounts translates -v, --mount and --tmpfs.
func userMounts(asked []container.Mount) ([]*configs.Mount, error) {
	var list []*configs.Mount
	seen := map[string]bool{}
	for _, a := range asked {
		target := filepath.Clean(a.Target)
		switch {
		case !filepath.IsAbs(target):
			return nil, fmt.Errorf("invalid mount target %q: want an absolute path", a.Target)
		case target == "/":
			return nil, fmt.Errorf("invalid mount target %q: the root cannot be mounted over", a.Target)
		case target == "/proc" || strings.HasPrefix(target, "/proc/"):
			// A container that decides what /proc is fools its own protections (CVE-2019-19921).
			return nil, fmt.Errorf("invalid mount target %q: nothing can be mounted in /proc", a.Target)
		case seen[target]:
			return nil, fmt.Errorf("duplicate mount point: %s", target)
		}
		seen[target] = true
		m, err := userMount(a, target)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

func userMount(a container.Mount, target string) (*configs.Mount, error) {
	if a.Type == container.MountTmpfs {
		m, err := tmpfsMount(target, a.Options)
		if err == nil && a.ReadOnly {
			m.Flags |= unix.MS_RDONLY
		}
		return m, err
	}
	if !filepath.IsAbs(a.Source) {
		return nil, fmt.Errorf("invalid mount source %q: want an absolute path", a.Source)
	}
	propagation, ok := propagations[a.Propagation]
	if !ok {
		return nil, fmt.Errorf("invalid mount propagation %q", a.Propagation)
	}
	m := bindMount(filepath.Clean(a.Source), target, a.ReadOnly, !a.NonRecursive)
	m.PropagationFlags = []int{propagation}
	if a.WritableBelow {
		m.RecAttr = nil
	}
	return m, nil
}

// rootPropagation is that of the container's root: such that mounts on the host reach binds that ask for it, and others do
// not (0 is libcontainer's rslave).
func rootPropagation(asked []container.Mount) int {
	for _, a := range asked {
		if a.Propagation == "shared" || a.Propagation == "rshared" {
			return unix.MS_SHARED | unix.MS_REC
		}
	}
	return 0
}
