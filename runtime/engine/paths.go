package engine

import (
	"path/filepath"
	"slices"
	"sync"

	"ctr/runtime/container"
)

// maskedPaths cannot be read in a container: the union of what Docker and Podman hide.
var maskedPaths = []string{
	"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
	"/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware", "/sys/fs/selinux",
}

// readonlyPaths cannot be written in a container.
var readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}

// systemPathsUnconfined is the value of --security-opt systempaths= that leaves all of /proc and /sys open.
const systemPathsUnconfined = "unconfined"

// SystemPaths returns the paths that a container started now cannot see, and those that it cannot write.
func SystemPaths(s container.Security) (masked, readonly []string) {
	return systemPaths(s, host{throttles: throttles()})
}

// throttles tell how hot other tenants make the machine (moby masks them since 25.0.4). They are looked for once.
var throttles = sync.OnceValue(func() []string {
	paths, _ := filepath.Glob("/sys/devices/system/cpu/cpu*/thermal_throttle")
	return paths
})

// systemPaths returns the paths to hide and those to protect.
func systemPaths(s container.Security, h host) (masked, readonly []string) {
	if s.Privileged || s.SystemPaths == systemPathsUnconfined {
		return nil, nil
	}
	return append(slices.Clip(maskedPaths), h.throttles...), readonlyPaths
}
