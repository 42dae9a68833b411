package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// proxyRow and proxyCostRow send to a port that is published on 127.0.0.1, which takes a proxy: docker-proxy's is the measure.
var (
	proxyRow = row{
		name: "proxy", unit: "Gbit/s", more: true, rounds: 5,
		title:   "one TCP stream of iperf3 from the host to a port published on 127.0.0.1, by the proxy",
		prepare: func(b *bench) ([]contestant, error) { return prepareProxy(b, tcpProxy) },
		clean:   cleanTraffic,
	}
	proxyCostRow = row{
		name: "proxy-cost", unit: "ms/GB", rounds: 5,
		title:   "the processor's time that the proxy takes for a gigabyte of that stream",
		prepare: func(b *bench) ([]contestant, error) { return prepareProxy(b, proxyCost) },
		clean:   cleanTraffic,
	}
)

// prepareProxy makes the ways by the proxies.
func prepareProxy(b *bench, measure func(w way, proxy int) (float64, error)) ([]contestant, error) {
	if err := makeBare(); err != nil { // as for all traffic
		return nil, err
	}
	var all []contestant
	add := func(name string, env []string, engine, image, port string, target float64, find func() (int, error)) error {
		_, to, _, err := startTraffic(env, engine, image, port)
		if err != nil {
			return err
		}
		proxy, err := find()
		all = append(all, contestant{
			name: name, target: target, measure: func() (float64, error) { return measure(way{"", to, "127.0.0.1", port}, proxy) },
		})
		return err
	}
	for _, p := range b.peers {
		if p.name == "docker" {
			if err := add("docker-proxy", p.env, p.name, image, dockerPort, 0, func() (int, error) {
				return findProcess("docker-proxy", "-proto", "tcp", "-host-ip", "0.0.0.0", "-host-port", dockerPort)
			}); err != nil {
				return nil, err
			}
		}
	}
	err := add("ctr", b.env, b.ctr, "busybox", flowPort, 1, func() (int, error) {
		id, err := command(b.env, b.ctr, "inspect", "--format", "{{.Id}}", trafficTo)
		if err != nil {
			return 0, err
		}
		return findProcess("ctr-monitor", id)
	})
	return all, err
}

// findProcess finds a process by words of its command line.
func findProcess(words ...string) (int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		text := strings.ReplaceAll(string(line), "\x00", " ")
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			return strconv.Atoi(filepath.Base(filepath.Dir(file)))
		}
	}
	return 0, fmt.Errorf("no process %q", strings.Join(words, " "))
}

func tcpProxy(w way, _ int) (float64, error) { return tcpFlow(w) }

// proxyCost returns milliseconds of the processor for a gigabyte.
func proxyCost(w way, proxy int) (float64, error) {
	before, err := processorTime(proxy)
	if err != nil {
		return 0, err
	}
	r, err := flow(w)
	if err != nil {
		return 0, err
	}
	after, err := processorTime(proxy)
	if r.End.Received.Bytes == 0 {
		err = errors.Join(err, errors.New("nothing arrived"))
	}
	return (after - before) / (r.End.Received.Bytes / 1e9), err
}

// processorTime returns the milliseconds that a process has run so far, by its clock (clock_getcpuclockid(3)).
func processorTime(pid int) (float64, error) {
	const sched = 2 // CPUCLOCK_SCHED
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &t); err != nil {
		return 0, fmt.Errorf("read clock of process %d: %w", pid, err)
	}
	return float64(t.Nano()) / 1e6, nil
}
