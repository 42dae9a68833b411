package lifecycle

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ctr/runtime/container"
	"ctr/runtime/engine"
)

// Usage is what a container has used up to a moment.
type Usage struct {
	Time           time.Time
	CPU            time.Duration // of all CPUs together
	Memory         uint64        // bytes, without the part of the page cache that the kernel would drop first, as in Docker
	MemoryLimit    uint64        // bytes; the machine's memory where there is no limit
	Received, Sent uint64        // bytes, over all interfaces but lo; none for a container on the host's network
	Read, Written  uint64        // bytes, of block devices
	Processes      uint64        // threads, strictly: what --pids-limit counts
}

// Usage reads what a running container uses. It returns container.ErrNotRunning.
func (in *Installation) Usage(_ context.Context, c *container.Container) (Usage, error) {
	state, err := c.RequireRunning()
	if err != nil {
		return Usage{}, err
	}
	s, err := engine.ReadStats(in.Containers.RunRoot(), c.ID)
	if err != nil {
		return Usage{}, err
	}
	u := Usage{
		Time: time.Now(), CPU: time.Duration(s.CpuStats.CpuUsage.TotalUsage),
		Memory: s.MemoryStats.Usage.Usage, MemoryLimit: s.MemoryStats.Usage.Limit, Processes: s.PidsStats.Current,
	}
	for _, key := range []string{"total_inactive_file", "inactive_file"} { // cgroup v1, v2
		if cache, ok := s.MemoryStats.Stats[key]; ok {
			u.Memory -= min(cache, u.Memory)
			break
		}
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil {
		if total := info.Totalram * uint64(info.Unit); u.MemoryLimit == 0 || u.MemoryLimit > total {
			u.MemoryLimit = total
		}
	}
	for _, e := range s.BlkioStats.IoServiceBytesRecursive {
		switch strings.ToLower(e.Op) {
		case "read":
			u.Read += e.Value
		case "write":
			u.Written += e.Value
		}
	}
	if c.Network.Mode != container.ModeHost {
		u.Received, u.Sent, err = interfaceBytes(state.PID)
	}
	return u, err
}

// interfaceBytes sums up the counters of a process's network interfaces (proc(5), /proc/PID/net/dev).
func interfaceBytes(pid int) (received, sent uint64, err error) {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/net/dev")
	if err != nil {
		return 0, 0, fmt.Errorf("read interfaces: %w", err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		name, counters, ok := strings.Cut(s.Text(), ":")
		fields := strings.Fields(counters)
		if !ok || strings.TrimSpace(name) == "lo" || len(fields) < 9 {
			continue
		}
		rx, _ := strconv.ParseUint(fields[0], 10, 64)
		tx, _ := strconv.ParseUint(fields[8], 10, 64)
		received, sent = received+rx, sent+tx
	}
	return received, sent, nil
}
