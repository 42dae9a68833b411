package main

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/options"
	"ctr/runtime/container"
)

// specResources reads the flags of resourceFlags, and --shm-size.
func specResources(c *cli.Context, s *container.Spec) error {
	if err := readResources(c, &s.Resources); err != nil {
		return err
	}
	return compareResources(&s.Resources)
}

// readResources reads them one by one: what it takes may still conflict.
func readResources(c *cli.Context, r *container.Resources) (err error) {
	if err := readMemory(c, r); err != nil {
		return err
	}
	if text := c.String("cpus"); text != "" {
		if r.NanoCPUs, err = options.CPUs(text); err != nil {
			return err
		}
	}
	for _, number := range []struct {
		flag string
		to   func(int64)
		min  int64
	}{
		{"cpu-shares", func(n int64) { r.CPUShares = uint64(n) }, 0},
		{"cpu-period", func(n int64) { r.CPUPeriod = uint64(n) }, 0},
		{"cpu-quota", func(n int64) { r.CPUQuota = n }, -1},
		{"pids-limit", func(n int64) { r.PidsLimit = &n }, -1},
		{"blkio-weight", func(n int64) { r.BlkioWeight = uint16(min(n, math.MaxUint16)) }, 0},
		{"oom-score-adj", func(n int64) { adj := int(n); r.OOMScoreAdj = &adj }, -1000},
		{"memory-swappiness", func(n int64) { r.MemorySwappiness = &n }, math.MinInt32},
	} {
		if !c.IsSet(number.flag) {
			continue
		}
		n, err := intFlag(c, number.flag)
		if err != nil {
			return err
		}
		if n < number.min {
			return options.Invalid(strconv.FormatInt(n, 10), "--"+number.flag, fmt.Errorf("the least is %d", number.min))
		}
		number.to(n)
	}
	if w := r.BlkioWeight; w != 0 && (w < 10 || w > 1000) {
		return errors.New("range of blkio weight is from 10 to 1000")
	}
	if a := r.OOMScoreAdj; a != nil && *a > 1000 {
		return fmt.Errorf("invalid value %d, range for oom score adj is [-1000, 1000]", *a)
	}
	if s := r.MemorySwappiness; s != nil && (*s < -1 || *s > 100) {
		return fmt.Errorf("invalid value: %d. Valid memory swappiness range is 0-100", *s)
	}
	for _, text := range c.StringSlice("ulimit") {
		u, err := options.Ulimit(text)
		if err != nil {
			return err
		}
		r.Ulimits = append(r.Ulimits, u)
	}
	for _, kind := range container.ThrottleKinds {
		for _, text := range c.StringSlice(string(kind)) {
			t, err := options.Throttle(kind, text)
			if err != nil {
				return err
			}
			r.Throttles = append(r.Throttles, t)
		}
	}
	r.CpusetCpus, r.CpusetMems = c.String("cpuset-cpus"), c.String("cpuset-mems")
	r.OOMKillDisable = c.Bool("oom-kill-disable")
	r.CgroupParent, err = options.CgroupParent(c.String("cgroup-parent"))
	return err
}

func readMemory(c *cli.Context, r *container.Resources) (err error) {
	for _, size := range []struct {
		flag  string
		to    *int64
		parse func(string) (int64, error)
	}{
		{"memory", &r.Memory, options.Memory},
		{"memory-swap", &r.MemorySwap, options.MemorySwap},
		{"memory-reservation", &r.MemoryReservation, func(s string) (int64, error) { return options.Bytes(s, "--memory-reservation") }},
		{"shm-size", &r.ShmSize, func(s string) (int64, error) { return options.Bytes(s, "--shm-size") }},
	} {
		if text := c.String(size.flag); text != "" {
			if *size.to, err = size.parse(text); err != nil {
				return err
			}
		}
	}
	return nil
}

// compareResources refuses limits that contradict each other.
func compareResources(r *container.Resources) error {
	switch {
	case r.NanoCPUs > 0 && (r.CPUQuota != 0 || r.CPUPeriod != 0):
		return errors.New("conflicting options: Nano CPUs and CPU Period cannot both be set")
	case r.MemorySwap > 0 && r.Memory == 0:
		return errors.New("you should always set the Memory limit when using Memoryswap limit, see usage")
	case r.MemorySwap > 0 && r.MemorySwap < r.Memory:
		return errors.New("minimum memoryswap limit should be larger than memory limit, see usage")
	case r.MemoryReservation > 0 && r.Memory > 0 && r.Memory < r.MemoryReservation:
		return errors.New("minimum memory limit can not be less than memory reservation limit, see usage")
	}
	return nil
}

// absoluteDir is the --rootfs from the root on: the monitor works elsewhere.
func absoluteDir(dir string) (string, error) {
	if dir == "" {
		return "", errors.New("use root file system: the folder's name is empty")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("use root file system %q: %w", dir, err)
	}
	return abs, nil
}
