package main

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// churnRow starts containers one after the other, and counts what grows with them.
var churnRow = row{
	name: "churn", unit: "files, cgroups, links and mounts", rounds: 1,
	title: "what is left of thousands of `run --rm --network NET busybox true` (-starts)",
	prepare: func(b *bench) ([]contestant, error) {
		return []contestant{{name: fmt.Sprintf("%d starts", b.starts), nothing: true, measure: func() (float64, error) {
			if err := b.churn(atOnce); err != nil { // what is made once is there
				return 0, err
			}
			before, err := b.settledThings(-1)
			if err != nil {
				return 0, err
			}
			if err := b.churn(b.starts); err != nil {
				return 0, err
			}
			after, err := b.settledThings(before)
			return float64(after - before), err
		}}}, nil
	},
}

const (
	atOnce = 2
	// The kernel takes namespaces and their links down in its own time.
	settleTries, settlePause = 40, 500 * time.Millisecond
)

// churn starts so many containers.
func (b *bench) churn(starts int) error {
	return each(starts, atOnce, func(int) error {
		_, err := command(b.env, b.ctr, "run", "--rm", "--network", network, "busybox", "true")
		return err
	})
}

// settledThings counts until the count is the one that is wanted, or has had its time.
func (b *bench) settledThings(want int) (count int, err error) {
	for range settleTries {
		if count, err = b.things(); err != nil || count == want {
			return count, err
		}
		time.Sleep(settlePause)
	}
	return count, nil
}

// things counts what a start might leave: files of the installation, cgroups, links, mounts and namespaces with names. The
// journal of events does not count: it grows to a bound, and becomes two files on the way.
func (b *bench) things() (count int, err error) {
	for _, root := range []string{filepath.Join(b.dir, "data"), filepath.Join(b.runRoot, "run"), "/run/netns"} {
		n, err := countFiles(root)
		if err != nil {
			return 0, err
		}
		count += n
	}
	cgroups, err := filepath.Glob("/sys/fs/cgroup/*/ctr*/*/cgroup.procs")
	if err != nil {
		return 0, err
	}
	count += len(cgroups)
	for _, list := range [][]string{{"ip", "-o", "link"}, {"cat", "/proc/self/mountinfo"}} {
		lines, err := command(nil, list[0], list[1:]...)
		if err != nil {
			return 0, err
		}
		count += strings.Count(lines, "\n")
	}
	return count, nil
}

// countFiles counts a folder's files, those below it too, but for the journal of events.
func countFiles(root string) (count int, err error) {
	err = filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "events" {
			return fs.SkipDir
		}
		count++
		return nil
	})
	return count, err
}
