package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// The names that every engine knows the same things by. The prefix keeps what belongs to others apart in a peer's engine.
const (
	network = "ctr-bench"
	image   = "ctr-bench/busybox"
)

// bench is what the rows share: an installation of ctr with a network and an image, bundles for runc, and the same in the
// peers that answer.
type bench struct {
	ctr string
	size
	dir         string
	runRoot     string
	env         []string
	bundle      string // runs true
	sleepBundle string // runs sleep
	peers       []peer
	dockerd     *exec.Cmd // of our own; nil if none was started
	aardvark    int       // the process, while it is asked
	notes       []string
}

// size is how much is measured.
type size struct {
	rounds     int
	containers int // of the full installation
	starts     int // of the row churn
}

// newBench prepares everything. What it did is undone by close, on an error too.
func newBench(ctr string, size size) (b *bench, err error) {
	dir, err := os.MkdirTemp("/var/tmp", "ctr-bench-")
	if err != nil {
		return nil, err
	}
	b = &bench{ctr: ctr, size: size, dir: dir, runRoot: filepath.Join("/run", filepath.Base(dir))}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	b.env = []string{"CTR_ROOT=" + filepath.Join(dir, "data"), "CTR_RUN_ROOT=" + filepath.Join(b.runRoot, "run")}
	archive, err := command(nil, "hack/images/build", "busybox")
	if err != nil {
		return nil, err
	}
	if _, err := command(b.env, "hack/images/import", ctr, "busybox"); err != nil {
		return nil, err
	}
	if _, err := command(b.env, ctr, "network", "create", network); err != nil {
		return nil, err
	}
	if b.bundle, err = b.makeBundle("true", archive, "true"); err != nil {
		return nil, err
	}
	if b.sleepBundle, err = b.makeBundle("sleep", archive, "sleep", "1000"); err != nil {
		return nil, err
	}
	b.findPeers(archive)
	return b, nil
}

// makeBundle makes a bundle as "runc spec" does, for a program that needs no terminal.
func (b *bench) makeBundle(name, archive string, argv ...string) (string, error) {
	bundle := filepath.Join(b.dir, "bundle-"+name)
	rootfs := filepath.Join(bundle, "rootfs")
	if err := os.MkdirAll(rootfs, 0o755); err != nil {
		return "", err
	}
	if _, err := command(nil, "tar", "-x", "-f", archive, "-C", rootfs); err != nil {
		return "", err
	}
	if _, err := command(nil, "runc", "spec", "--bundle", bundle); err != nil {
		return "", err
	}
	path := filepath.Join(bundle, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var spec map[string]any
	if err := json.Unmarshal(data, &spec); err != nil {
		return "", err
	}
	process, ok := spec["process"].(map[string]any)
	if !ok {
		return "", fmt.Errorf("%q has no process", path)
	}
	process["terminal"], process["args"] = false, argv
	if data, err = json.Marshal(spec); err != nil {
		return "", err
	}
	return bundle, os.WriteFile(path, data, 0o644)
}

// close removes everything, as far as it is there.
func (b *bench) close() error {
	if states, err := command(nil, "runc", "list", "--quiet"); err == nil && slices.Contains(strings.Fields(states), "ctr-bench-exec") {
		_, _ = command(nil, "runc", "delete", "--force", "ctr-bench-exec")
	}
	b.closePeers()
	_, err := command(b.env, b.ctr, "system", "reset", "--force")
	return errors.Join(err, os.RemoveAll(b.dir), os.RemoveAll(b.runRoot))
}

// run measures the rows, or only the one of that name.
func (b *bench) run(only string) (*report, error) {
	report := newReport(b)
	for _, row := range rows {
		if only != "" && row.name != only {
			continue
		}
		fmt.Fprintf(os.Stderr, "measuring %s\n", row.name)
		results, err := b.runRow(row)
		if err != nil {
			return nil, fmt.Errorf("row %s: %w", row.name, err)
		}
		report.add(row, results)
	}
	if len(report.sections) == 0 {
		return nil, fmt.Errorf("no row %q", only)
	}
	return report, nil
}

func (b *bench) runRow(row row) (results []result, err error) {
	contestants, err := row.prepare(b)
	if row.clean != nil {
		defer func() { err = errors.Join(err, row.clean(b)) }()
	}
	if err != nil {
		return nil, err
	}
	return measure(b, row, contestants)
}
