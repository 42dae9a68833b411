package engine

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"ctr/runtime/container"
)

// The kernel's bounds for CPU time (sched(7)), in microseconds, and for shares.
const (
	minCPUPeriod, maxCPUPeriod = 1000, 1000000
	minCPUQuota                = 1000
	minCPUShares               = 2
	minNanoCPUs                = 1e7
)

// CheckLimits tells in plain words what the kernel would refuse later with a mere "invalid argument".
func CheckLimits(r container.Resources) error {
	switch {
	case r.CPUShares != 0 && r.CPUShares < minCPUShares:
		return fmt.Errorf("the least CPU shares are %d", minCPUShares)
	case r.CPUPeriod != 0 && (r.CPUPeriod < minCPUPeriod || r.CPUPeriod > maxCPUPeriod):
		return errors.New("CPU cfs period cannot be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
	case r.CPUQuota > 0 && r.CPUQuota < minCPUQuota:
		return errors.New("CPU cfs quota cannot be less than 1ms (i.e. 1000)")
	}
	if r.NanoCPUs != 0 {
		online, err := listed("/sys/devices/system/cpu/online")
		if err != nil {
			return fmt.Errorf("count CPUs: %w", err)
		}
		if r.NanoCPUs < minNanoCPUs || r.NanoCPUs > int64(len(online))*1e9 {
			return fmt.Errorf("range of CPUs is from 0.01 to %d.00, as there are only %d CPUs available", len(online), len(online))
		}
	}
	if err := checkSet("CPUs", "cpus", r.CpusetCpus, "/sys/devices/system/cpu/online"); err != nil {
		return err
	}
	return checkSet("memory nodes", "mems", r.CpusetMems, "/sys/devices/system/node/online")
}

// checkSet checks that what was asked for is there, with Docker's words.
func checkSet(what, short, asked, file string) error {
	if asked == "" {
		return nil
	}
	wanted, err := parseList(asked)
	if err != nil {
		return fmt.Errorf("invalid value %s for cpuset %s", asked, short)
	}
	online, err := listed(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil // a kernel without NUMA: it will say so itself
	}
	if err != nil {
		return fmt.Errorf("list %s: %w", what, err)
	}
	for n := range wanted {
		if !online[n] {
			return fmt.Errorf("requested %s are not available: requested %s, available: %s", what, asked, text(file))
		}
	}
	return nil
}

func listed(file string) (map[int]bool, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseList(strings.TrimSpace(string(b)))
}

func text(file string) string {
	b, _ := os.ReadFile(file)
	return strings.TrimSpace(string(b))
}

// maxListed bounds the numbers of a list: the kernel's CONFIG_NR_CPUS goes to 8192.
const maxListed = 8192

// parseList reads the kernel's list format (cpuset(7)): 0-3,7.
func parseList(s string) (map[int]bool, error) {
	out := map[int]bool{}
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, err := strconv.ParseUint(first, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("read list %q: %w", s, err)
		}
		b, err := strconv.ParseUint(last, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("read list %q: %w", s, err)
		}
		if a > b || b > maxListed {
			return nil, fmt.Errorf("read list %q: no such range: %s", s, part)
		}
		for n := a; n <= b; n++ {
			out[int(n)] = true
		}
	}
	return out, nil
}
