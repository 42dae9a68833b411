package engine

import (
	"fmt"

	"github.com/opencontainers/cgroups"

	"ctr/runtime/container"
)

const (
	defaultPidsLimit = 2048
	cpuPeriod        = 100000 // microseconds: the kernel's and Docker's default
)

// resources translates the limits. What was asked for and cannot be had is an error; a default that cannot be had is left
// out.
func resources(r container.Resources, h host) (*cgroups.Resources, []string, error) {
	if err := haveControllers(r, h); err != nil {
		return nil, nil, err
	}
	out := &cgroups.Resources{
		Memory:            r.Memory,
		MemoryReservation: r.MemoryReservation,
		CpuQuota:          r.CPUQuota,
		CpuPeriod:         r.CPUPeriod,
		CpusetCpus:        r.CpusetCpus,
		CpusetMems:        r.CpusetMems,
		BlkioWeight:       r.BlkioWeight,
	}
	if h.unified {
		out.CpuWeight = cgroups.ConvertCPUSharesToCgroupV2Value(r.CPUShares)
	} else {
		out.CpuShares = r.CPUShares
	}
	if r.NanoCPUs > 0 {
		if r.CPUQuota != 0 || r.CPUPeriod != 0 {
			return nil, nil, fmt.Errorf("conflicting options: CPUs and CPU quota or period cannot both be set")
		}
		out.CpuPeriod, out.CpuQuota = cpuPeriod, r.NanoCPUs*cpuPeriod/1e9
	}
	if h.controllers["pids"] {
		limit := int64(defaultPidsLimit)
		if r.PidsLimit != nil {
			limit = *r.PidsLimit
		}
		if limit <= 0 {
			limit = -1 // none, also where an update finds one; the library takes 0 for 1
		}
		out.PidsLimit = &limit
	}
	if err := throttle(r.Throttles, out); err != nil {
		return nil, nil, err
	}
	warnings := memorySwap(r, h, out)
	if s := r.MemorySwappiness; asked(s) {
		if h.unified {
			warnings = append(warnings, "memory swappiness cannot be set with cgroup v2: ignored")
		} else {
			swappiness := uint64(*s)
			out.MemorySwappiness = &swappiness
		}
	}
	if r.OOMKillDisable {
		if h.unified {
			warnings = append(warnings, "the OOM killer cannot be disabled with cgroup v2: ignored")
		} else {
			out.OomKillDisable = true
			if r.Memory == 0 {
				warnings = append(warnings, "the OOM killer is disabled and memory is not limited: the container can use up the memory of the host")
			}
		}
	}
	return out, warnings, nil
}

// asked tells whether a swappiness is more than the word for the host's own, -1.
func asked(swappiness *int64) bool { return swappiness != nil && *swappiness >= 0 }

// memorySwap sets the limit of memory and swap together: as in Docker twice the memory unless asked otherwise, where the
// kernel counts swap.
func memorySwap(r container.Resources, h host, out *cgroups.Resources) (warnings []string) {
	switch {
	case !h.swap && r.MemorySwap > 0:
		return []string{"this host's kernel does not limit swap: memory limited without swap"}
	case h.swap && r.MemorySwap != 0:
		out.MemorySwap = r.MemorySwap
	case h.swap && r.Memory > 0:
		out.MemorySwap = 2 * r.Memory
	}
	return nil
}

// haveControllers checks that each limit that was asked for has its controller.
func haveControllers(r container.Resources, h host) error {
	blkio := "blkio"
	if h.unified {
		blkio = "io"
	}
	for _, need := range []struct {
		wanted           bool
		what, controller string
	}{
		{r.Memory != 0 || r.MemorySwap != 0 || r.MemoryReservation != 0 || asked(r.MemorySwappiness) || r.OOMKillDisable, "memory", "memory"},
		{r.NanoCPUs != 0 || r.CPUShares != 0 || r.CPUQuota != 0 || r.CPUPeriod != 0, "CPU time", "cpu"},
		{r.CpusetCpus != "" || r.CpusetMems != "", "CPU sets", "cpuset"},
		{r.BlkioWeight != 0 || len(r.Throttles) > 0, "block I/O", blkio},
		{r.PidsLimit != nil && *r.PidsLimit > 0, "processes", "pids"},
	} {
		if need.wanted && !h.controllers[need.controller] {
			return fmt.Errorf("cannot limit %s: this host has no cgroup controller %q", need.what, need.controller)
		}
	}
	return nil
}
