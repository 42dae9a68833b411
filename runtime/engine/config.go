package engine

import (
	"os"

	"ctr/internal/idmap"
	"ctr/runtime/container"
)

// HostNS as the path of a namespace is that of the caller: no new one is made.
const HostNS = "host"

// Config is one container, with everything resolved that needs looking up.
type Config struct {
	// Spec gives what needs no resolving: security, resources, the kinds of namespaces, the terminal, the init.
	Spec *container.Spec
	// StateDir is the folder that holds one folder a container, on a tmpfs or not. See the package comment.
	StateDir string
	// SeccompCache is a folder for compiled seccomp filters, made when missing and writable for root only. Empty: each init
	// compiles its own.
	SeccompCache string
	// Rootfs is a folder in which the root file system is mounted, in the mount namespace of the thread that calls Create.
	// The folder itself (not the mount) must exist as long as the container runs, for Exec.
	Rootfs string

	User    User
	Args    []string // the program's argv, not empty
	Env     []string // NAME=value; PATH, HOSTNAME, TERM and HOME are added when missing
	WorkDir string   // absolute, or empty for "/"; made when it does not exist

	Hostname   string // not applied to a joined UTS namespace
	Domainname string

	// The namespaces: empty for a new one, HostNS, or the path of one to join, such as /proc/PID/fd/N. A path stays valid
	// until Create returns.
	NetNS, PIDNS, IPCNS, UTSNS string
	// UserNS is the user namespace to join, open until Create returns, and IDs what it maps; nil and zero: the host's. New
	// namespaces are made in it, and those to join belong to it.
	UserNS *os.File
	IDs    idmap.Map
	// Shm is the process whose /dev/shm is shared, by its PID, when IPCNS joins a container's; 0 for none.
	Shm int

	// Cgroup is the path of the container's cgroup in every hierarchy, from the hierarchy's root.
	Cgroup string

	// Mounts are those of the spec, with the sources of volumes resolved to absolute paths.
	Mounts []container.Mount
	// Binds are the files that ctr gives a container: resolv.conf, hosts, hostname. A mount with the same target wins.
	Binds []Bind

	plain bool // leave all mounts to libcontainer: what tests compare with
}

// User is who runs a program, by numbers.
type User struct {
	UID    int
	GID    int
	Groups []int  // supplementary
	Home   string // empty: found in the container's /etc/passwd, else "/"
}

// Bind is one file or folder of the host that appears in the container.
type Bind struct {
	Source   string
	Target   string
	ReadOnly bool
}
