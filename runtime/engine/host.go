package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/capability"
	devices "github.com/opencontainers/cgroups/devices/config"
	"golang.org/x/sys/unix"

	"ctr/internal/cgroupfs"
	"ctr/internal/span"
)

// host is what the translation of a Config has to know of the machine and of the calling process. More than the caller
// itself may do cannot be given to a container: asking for it would fail the whole start.
type host struct {
	capabilities []string          // permitted and in the bounding set
	hardLimits   map[string]uint64 // by Docker's names; nil if limits may be raised
	oomScoreAdj  int               // the least that can be set
	controllers  map[string]bool   // cgroup controllers that can be used
	hierarchies  map[string]string // where those of cgroup v1 are mounted, by controller; none with cgroup v2 only
	swap         bool              // the memory controller counts swap
	unified      bool              // cgroup v2 only
	appArmor     bool              // the profile docker-default is loaded
	throttles    []string          // /sys/devices/system/cpu/cpu*/thermal_throttle
	executable   string            // with package pid1 in it, for --init
	devices      []*devices.Device // the spec's --device, or all of the host's for --privileged
}

// thisHost looks at the machine for what c needs.
func thisHost(c Config) (host, error) {
	defer span.Begin("look at host").End()
	h, err := warmedHost()
	if err != nil {
		return host{}, err
	}
	if err := checkAppArmor(c.Spec.Security); err != nil {
		return host{}, err
	}
	if c.Spec.Init {
		if h.executable, err = initExecutable(); err != nil {
			return host{}, err
		}
	}
	h.devices, err = resolveDevices(c.Spec.Security)
	return h, err
}

// initExecutable is the file with package pid1 in it.
func initExecutable() (string, error) {
	if path := initPath(); path != "" {
		return path, nil
	}
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find own executable: %w", err)
	}
	return path, nil
}

// lookAtHost looks at what is the same for all containers.
func lookAtHost() (host, error) {
	openHierarchies()
	h, err := cgroupHost()
	if err != nil {
		return host{}, err
	}
	if h.hierarchies, err = hierarchies(); err != nil {
		return host{}, err
	}
	h.appArmor = appArmorLoaded(dockerAppArmor)
	if h.capabilities, err = ownCapabilities(); err != nil {
		return host{}, err
	}
	h.oomScoreAdj = -1000
	if !slices.Contains(h.capabilities, "CAP_SYS_RESOURCE") {
		if h.hardLimits, err = hardLimits(); err != nil {
			return host{}, err
		}
		if h.oomScoreAdj, err = ownOOMScoreAdj(); err != nil {
			return host{}, err
		}
	}
	h.throttles = throttles()
	return h, nil
}

// cgroupHost looks at what limits the machine can set.
func cgroupHost() (host, error) {
	h := host{unified: cgroupfs.Version2()}
	roots, err := cgroupfs.Roots()
	if err != nil {
		return host{}, err
	}
	if h.controllers, err = controllers(roots); err != nil {
		return host{}, err
	}
	h.swap = haveSwapAccounting(roots)
	return h, nil
}

// ownCapabilities lists what the caller holds and may pass on, in the order of their numbers. All threads have the same, and the
// first one stays: the thread that opened its own file may be gone when the file is read by another one (ESRCH).
func ownCapabilities() ([]string, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, fmt.Errorf("read own capabilities: %w", err)
	}
	set := ^uint64(0)
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		if name != "CapPrm" && name != "CapBnd" {
			continue
		}
		bits, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return nil, fmt.Errorf("read own capabilities: %w", err)
		}
		set &= bits
	}
	var names []string
	for _, c := range capability.ListKnown() {
		if set&(1<<uint(c)) != 0 {
			names = append(names, capabilityName(c))
		}
	}
	return names, nil
}

// controllers lists the controllers that a container's cgroup can use: on v1 and hybrid hosts those of the mounted
// hierarchies, on v2 those of the root.
func controllers(roots map[string]string) (map[string]bool, error) {
	found := map[string]bool{}
	for name := range roots {
		found[name] = name != cgroupfs.Unified && name != cgroupfs.Systemd
	}
	if !cgroupfs.Version2() {
		return found, nil
	}
	text, err := os.ReadFile(filepath.Join(roots[cgroupfs.Unified], "cgroup.controllers"))
	if err != nil {
		return nil, fmt.Errorf("read cgroup controllers: %w", err)
	}
	for name := range strings.FieldsSeq(string(text)) {
		found[name] = true
	}
	return found, nil
}

func haveSwapAccounting(roots map[string]string) bool {
	if cgroupfs.Version2() {
		return true // fs2 leaves memory.swap.max alone where it is missing
	}
	_, err := os.Stat(filepath.Join(roots["memory"], "memory.memsw.limit_in_bytes"))
	return err == nil
}

func hardLimits() (map[string]uint64, error) {
	limits := make(map[string]uint64, len(rlimitNumbers))
	for name, number := range rlimitNumbers {
		var l unix.Rlimit
		if err := unix.Getrlimit(number, &l); err != nil {
			return nil, fmt.Errorf("read own limit %s: %w", name, err)
		}
		limits[name] = l.Max
	}
	return limits, nil
}

func ownOOMScoreAdj() (int, error) {
	text, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return 0, fmt.Errorf("read own oom_score_adj: %w", err)
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}
