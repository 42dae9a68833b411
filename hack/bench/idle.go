package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

const (
	idleContainers = 10
	settleTime     = 5 * time.Second // after which a container's keeper has made itself small
)

// memoryRow is what ctr keeps beside an idle container, with a published port, the resolver and a log.
var memoryRow = row{
	name: "memory", unit: "MiB", rounds: 3,
	title: fmt.Sprintf("PSS of all that ctr keeps for an idle container, %d running, each with a published port, resolver and log", idleContainers),
	prepare: func(b *bench) ([]contestant, error) {
		for i := range idleContainers {
			if _, err := command(b.env, b.ctr, "run", "-d", "-p", "80", "--name", fmt.Sprint("idle", i), "--network", network, "busybox", "sleep", "10000"); err != nil {
				return nil, err
			}
		}
		time.Sleep(settleTime)
		return []contestant{{name: "ctr", limit: 1.3, measure: func() (float64, error) {
			total := 0.0
			for i := range idleContainers {
				pss, err := b.keeperPSS(fmt.Sprint("idle", i))
				if err != nil {
					return 0, err
				}
				total += pss
			}
			return total / idleContainers, nil
		}}}, nil
	},
	clean: func(b *bench) error {
		var errs []error
		for i := range idleContainers {
			_, err := command(b.env, b.ctr, "rm", "-f", fmt.Sprint("idle", i))
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	},
}

var (
	parentLine = regexp.MustCompile(`(?m)^PPid:\s+(\d+)$`)
	pssLine    = regexp.MustCompile(`(?m)^Pss:\s+(\d+) kB$`)
)

// keeperPSS returns the proportional set size of the parent of a container's first process, in MiB.
func (b *bench) keeperPSS(name string) (float64, error) {
	pid, err := command(b.env, b.ctr, "inspect", "--format", "{{.State.Pid}}", name)
	if err != nil {
		return 0, err
	}
	parent, err := numberIn(filepath.Join("/proc", pid, "status"), parentLine)
	if err != nil {
		return 0, err
	}
	kib, err := numberIn(filepath.Join("/proc", strconv.Itoa(parent), "smaps_rollup"), pssLine)
	return float64(kib) / 1024, err
}

func numberIn(path string, line *regexp.Regexp) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	m := line.FindSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("%q has no line %q", path, line)
	}
	return strconv.Atoi(string(m[1]))
}

const (
	talkSeconds = 5
	talk        = "yes & sleep 5; kill -9 $!; true" // as PID 1, yes would not heed a mere SIGTERM
	talkName    = "ctr-bench-log"
)

// logRow is how many lines get into a json-file log.
var logRow = row{
	name: "logs", unit: "lines/s", more: true, rounds: 3,
	title: fmt.Sprintf("`yes` for %d s with the driver json-file", talkSeconds),
	prepare: func(b *bench) ([]contestant, error) {
		all := []contestant{{name: "ctr", base: "docker", target: 3, measure: func() (float64, error) {
			return talkative(b.ctr, b.env, "busybox")
		}}}
		for _, p := range b.peers {
			if p.name == "docker" {
				all = append(all, contestant{name: p.name, measure: func() (float64, error) { return talkative(p.name, p.env, image) }})
			}
		}
		return all, nil
	},
}

// talkative runs a container that writes for a while, and returns how many lines a second its log got.
func talkative(program string, env []string, image string) (_ float64, err error) {
	if _, err := command(env, program, "run", "-d", "--name", talkName, "--log-driver", "json-file", "--network", "none", image, "sh", "-c", talk); err != nil {
		return 0, err
	}
	defer func() {
		_, gone := command(env, program, "rm", "-f", talkName)
		err = errors.Join(err, gone)
	}()
	if _, err := command(env, program, "wait", talkName); err != nil {
		return 0, err
	}
	path, err := command(env, program, "inspect", "--format", "{{.LogPath}}", talkName)
	if err != nil {
		return 0, err
	}
	lines, err := countLines(path)
	return float64(lines) / talkSeconds, err
}

func countLines(path string) (lines int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	for {
		n, err := f.Read(buf)
		lines += bytes.Count(buf[:n], []byte{'\n'})
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return 0, err
		}
	}
}
