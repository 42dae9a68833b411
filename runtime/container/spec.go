package container

import (
	"slices"
	"strings"
	"time"

	"ctr/internal/idmap"
	"ctr/network"
)

// SpecVersion is the version of container.json that this program writes. It reads all up to this one.
const SpecVersion = 1

// Spec is what the user asked for: the options of `ctr create`, with the image's configuration merged in. It is pure data,
// it is the JSON of container.json. Of a container that runs, its name, its networks and its ports may change, and its policy.
type Spec struct {
	Version int       `json:"version"`
	ID      string    `json:"id"`   // 64 hexadecimal digits
	Name    string    `json:"name"` // as Docker's, without its leading slash
	Created time.Time `json:"created"`

	Image  Image  `json:"image"`
	Rootfs Rootfs `json:"rootfs"`

	// Entrypoint and Cmd together are the program's argv. A nil Entrypoint takes the image's (and then an empty Cmd takes
	// the image's Cmd too); an empty, non-nil one removes it.
	Entrypoint []string `json:"entrypoint"`
	Cmd        []string `json:"cmd"`
	Env        []string `json:"env,omitempty"` // NAME=value, the image's first
	WorkDir    string   `json:"workDir,omitempty"`
	User       string   `json:"user,omitempty"` // name|uid[:group|gid]
	Groups     []string `json:"groups,omitempty"`
	TTY        bool     `json:"tty,omitempty"`
	OpenStdin  bool     `json:"openStdin,omitempty"` // -i: keep stdin open when nobody is attached
	StdinOnce  bool     `json:"stdinOnce,omitempty"` // close stdin when the first attached client leaves (`run -i` without -d)
	Attach     Attach   `json:"attach"`

	Hostname   string            `json:"hostname,omitempty"` // empty: the first 12 digits of the ID
	Domainname string            `json:"domainname,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`

	Namespaces Namespaces `json:"namespaces"`
	IDs        idmap.Map  `json:"ids,omitzero"` // which IDs of the host the container's are; zero: the same
	Network    Network    `json:"network"`
	Mounts     []Mount    `json:"mounts,omitempty"`
	Security   Security   `json:"security"`
	Resources  Resources  `json:"resources"`

	StopSignal  string        `json:"stopSignal,omitempty"`  // a signal's name or number; empty: SIGTERM
	StopTimeout *int          `json:"stopTimeout,omitempty"` // seconds; nil: 10; negative: wait for ever
	Restart     RestartPolicy `json:"restart"`
	AutoRemove  bool          `json:"autoRemove,omitempty"`
	Init        bool          `json:"init,omitempty"` // a reaping init of ours as PID 1
	Log         Log           `json:"log"`
	Health      *HealthCheck  `json:"health,omitempty"`
}

// Image is the image that a container was made from. It is empty for `--rootfs DIR`.
type Image struct {
	Ref string `json:"ref,omitempty"` // as the user typed it
	ID  string `json:"id,omitempty"`  // sha256:<hex>, the digest of its config
}

// Rootfs is where the root file system comes from.
type Rootfs struct {
	Dir      string   `json:"dir,omitempty"`    // --rootfs: used as it is, without an overlay
	Layers   []string `json:"layers,omitempty"` // chain IDs, the base first
	ReadOnly bool     `json:"readOnly,omitempty"`
}

// Attach says which streams the foreground `run` takes part in.
type Attach struct {
	Stdin  bool `json:"stdin,omitempty"`
	Stdout bool `json:"stdout,omitempty"`
	Stderr bool `json:"stderr,omitempty"`
}

// Mode is which namespace of a kind a container uses: one of its own, the host's, another container's, or that at a path.
type Mode string

// The modes that are words. ModeContainer and ModePath are prefixes, followed by a container's ID or a path.
const (
	ModePrivate   Mode = ""
	ModeHost      Mode = "host"
	ModeNone      Mode = "none" // network: a namespace with nothing but lo; IPC: one without /dev/shm, which nobody joins
	ModeContainer Mode = "container:"
	ModePath      Mode = "ns:"
)

// Namespaces are the kinds besides the network's.
type Namespaces struct {
	PID    Mode `json:"pid,omitempty"`
	IPC    Mode `json:"ipc,omitempty"`
	UTS    Mode `json:"uts,omitempty"`
	Cgroup Mode `json:"cgroup,omitempty"`
	// User as it was asked for: empty and "host" are the host's, as in Docker; else a range of IDs of the container's own, as
	// package userns has them, or that of another container.
	User Mode `json:"user,omitempty"`
}

// Network is the network side of a container, as asked for.
type Network struct {
	// Mode is ModePrivate when Endpoints are to be made, else host, none, container:ID or ns:PATH.
	Mode       Mode                   `json:"mode,omitempty"`
	Endpoints  []network.EndpointSpec `json:"endpoints,omitempty"` // in the order given: eth0, eth1, ...
	Ports      []network.Port         `json:"ports,omitempty"`     // -p, and -P with what the image exposes, one entry a port
	PublishAll bool                   `json:"publishAll,omitempty"`
	Expose     []network.Expose       `json:"expose,omitempty"`
	Resolver   network.ResolverSpec   `json:"resolver"`
	ExtraHosts []network.ExtraHost    `json:"extraHosts,omitempty"`
}

// Exposed returns all ports that the container is said to listen on, each once: those of Expose, and what Ports publish.
func (n Network) Exposed() []network.Expose {
	all := slices.Clone(n.Expose)
	known := map[network.Expose]bool{}
	for _, e := range all {
		known[e] = true
	}
	for _, p := range n.Ports {
		if e := p.Expose(); !known[e] {
			known[e] = true
			all = append(all, e)
		}
	}
	return all
}

// MountType is what kind of thing is mounted.
type MountType string

// The kinds of mounts.
const (
	MountBind   MountType = "bind"
	MountVolume MountType = "volume"
	MountTmpfs  MountType = "tmpfs"
)

// Mount is one -v, --mount or --tmpfs.
type Mount struct {
	Type        MountType `json:"type"`
	Source      string    `json:"source,omitempty"` // a path of the host, or a volume's name; empty for tmpfs
	Target      string    `json:"target"`
	ReadOnly    bool      `json:"readOnly,omitempty"`
	Propagation string    `json:"propagation,omitempty"` // rprivate (the default), private, rshared, shared, rslave, slave
	// CreateSource makes a missing source folder, as -v does and --mount does not. It tells them apart for inspect, and
	// --tmpfs from --mount type=tmpfs.
	CreateSource bool `json:"createSource,omitempty"`
	NonRecursive bool `json:"nonRecursive,omitempty"`
	// WritableBelow leaves what is mounted below a read-only bind as it is; else all of it is read-only.
	WritableBelow bool   `json:"writableBelow,omitempty"`
	Subpath       string `json:"subpath,omitempty"` // volume: the folder or file in it that is mounted
	// VolumeLabels are those of the volume if it is made for this container.
	VolumeLabels map[string]string `json:"volumeLabels,omitempty"`
	// VolumeOptions are those of the driver for it: type, o, device.
	VolumeOptions map[string]string `json:"volumeOptions,omitempty"`
	NoCopy        bool              `json:"noCopy,omitempty"`    // volume: no copy of the image's content at first use
	Anonymous     bool              `json:"anonymous,omitempty"` // volume: removed together with the container (rm -v, --rm)
	Options       []string          `json:"options,omitempty"`   // tmpfs: size=, mode=, exec, ... as mount(8) writes them
}

// Security is what the container's processes may do.
type Security struct {
	CapAdd          []string          `json:"capAdd,omitempty"`
	CapDrop         []string          `json:"capDrop,omitempty"`
	Privileged      bool              `json:"privileged,omitempty"`
	NoNewPrivileges bool              `json:"noNewPrivileges,omitempty"`
	Seccomp         string            `json:"seccomp,omitempty"` // empty: the default profile; "unconfined"; else the profile's JSON text
	AppArmor        string            `json:"appArmor,omitempty"`
	SystemPaths     string            `json:"systemPaths,omitempty"` // "unconfined": no masked and read-only paths
	Sysctls         map[string]string `json:"sysctls,omitempty"`
	Devices         []Device          `json:"devices,omitempty"`
	DeviceRules     []string          `json:"deviceRules,omitempty"` // --device-cgroup-rule: "TYPE MAJOR:MINOR PERMISSIONS"
}

// Device is one --device.
type Device struct {
	Source      string `json:"source"` // a device node of the host, or a folder of such
	Target      string `json:"target"`
	Permissions string `json:"permissions"` // of r, w, m
}

// Resources are limits. A zero field sets none.
type Resources struct {
	Memory            int64    `json:"memory,omitempty"`           // bytes
	MemorySwap        int64    `json:"memorySwap,omitempty"`       // bytes, memory included; -1: unlimited
	MemorySwappiness  *int64   `json:"memorySwappiness,omitempty"` // 0 to 100; nil or -1: the host's
	MemoryReservation int64    `json:"memoryReservation,omitempty"`
	NanoCPUs          int64    `json:"nanoCPUs,omitempty"` // --cpus, in billionths of a CPU
	CPUShares         uint64   `json:"cpuShares,omitempty"`
	CPUQuota          int64    `json:"cpuQuota,omitempty"`  // microseconds a period
	CPUPeriod         uint64   `json:"cpuPeriod,omitempty"` // microseconds
	CpusetCpus        string   `json:"cpusetCpus,omitempty"`
	CpusetMems        string   `json:"cpusetMems,omitempty"`
	PidsLimit         *int64   `json:"pidsLimit,omitempty"` // nil: 2048; 0 or -1: none
	BlkioWeight       uint16   `json:"blkioWeight,omitempty"`
	Ulimits           []Ulimit `json:"ulimits,omitempty"`
	ShmSize           int64    `json:"shmSize,omitempty"` // bytes; 0: 64 MiB
	OOMScoreAdj       *int     `json:"oomScoreAdj,omitempty"`
	OOMKillDisable    bool     `json:"oomKillDisable,omitempty"`
	CgroupParent      string   `json:"cgroupParent,omitempty"`

	Throttles []Throttle `json:"throttles,omitempty"`
}

// ThrottleKind is what a Throttle bounds.
type ThrottleKind string

// The kinds, by the names of their flags.
const (
	ReadBytes  ThrottleKind = "device-read-bps"
	WriteBytes ThrottleKind = "device-write-bps"
	ReadCalls  ThrottleKind = "device-read-iops"
	WriteCalls ThrottleKind = "device-write-iops"
	IOWeight   ThrottleKind = "blkio-weight-device"
)

// ThrottleKinds are all of them.
var ThrottleKinds = []ThrottleKind{IOWeight, ReadBytes, WriteBytes, ReadCalls, WriteCalls}

// Throttle is how the container may use a block device of the host.
type Throttle struct {
	Kind   ThrottleKind `json:"kind"`
	Device string       `json:"device"` // its node
	Rate   uint64       `json:"rate"`   // bytes or operations a second; IOWeight: the weight
}

// Ulimit is one --ulimit. -1 is unlimited.
type Ulimit struct {
	Name string `json:"name"` // as in Docker: nofile, nproc, core, ...
	Soft int64  `json:"soft"`
	Hard int64  `json:"hard"`
}

// RestartPolicy is one --restart.
type RestartPolicy struct {
	Name       string `json:"name,omitempty"` // no (also empty), on-failure, always, unless-stopped
	MaxRetries int    `json:"maxRetries,omitempty"`
}

// Log is where the container's output is kept.
type Log struct {
	Driver  string `json:"driver,omitempty"`  // json-file (also empty), none, journald
	MaxSize int64  `json:"maxSize,omitempty"` // bytes a file; 0: no bound
	MaxFile int    `json:"maxFile,omitempty"` // how many files; 0: 1
	// Options are all --log-opt as they were given; labels, env, their -regex and tag say what each entry carries with it.
	Options map[string]string `json:"options,omitempty"`
}

// HealthCheck is --health-cmd and its options, or the image's HEALTHCHECK.
type HealthCheck struct {
	Test          []string      `json:"test"` // as in Docker: NONE, CMD args..., CMD-SHELL command
	Interval      time.Duration `json:"interval,omitempty"`
	Timeout       time.Duration `json:"timeout,omitempty"`
	StartPeriod   time.Duration `json:"startPeriod,omitempty"`
	StartInterval time.Duration `json:"startInterval,omitempty"`
	Retries       int           `json:"retries,omitempty"`
}

// Container returns the ID of the container whose namespace is shared; before Create has resolved it, what the user typed.
func (m Mode) Container() (id string, ok bool) {
	return strings.CutPrefix(string(m), string(ModeContainer))
}

// Path returns the path of the namespace that is joined.
func (m Mode) Path() (path string, ok bool) { return strings.CutPrefix(string(m), string(ModePath)) }
