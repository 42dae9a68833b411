package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"
)

// contestant is one way to do what a row measures.
type contestant struct {
	name string
	env  []string // besides our own
	argv []string
	// target is the largest ratio of its median to the baseline's that we aim for; 0: it is there to compare.
	target float64
}

// row is one comparison. The first contestant is the baseline.
type row struct {
	name  string // for -row
	title string
	// prepare makes what the contestants need and returns them; clean takes it away again.
	prepare func(b *bench) ([]contestant, error)
	clean   func(b *bench) error
}

// result is what was measured of a contestant.
type result struct {
	contestant
	times []time.Duration // sorted
}

func (r result) quantile(q float64) time.Duration {
	return r.times[int(q*float64(len(r.times)-1))]
}

func (r result) median() time.Duration { return r.quantile(0.5) }

// warmUp is how many rounds do not count: caches and first-time work are not what is compared.
const warmUp = 3

// measure lets the contestants run in turn.
func measure(b *bench, contestants []contestant) ([]result, error) {
	results := make([]result, len(contestants))
	for i, c := range contestants {
		results[i].contestant = c
	}
	for round := range warmUp + b.rounds {
		for i, c := range contestants {
			took, err := c.time()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			if round >= warmUp {
				results[i].times = append(results[i].times, took)
			}
		}
	}
	for _, r := range results {
		slices.Sort(r.times)
	}
	return results, nil
}

// time runs a whole command, from fork to the end.
func (c contestant) time() (time.Duration, error) {
	cmd := exec.Command(c.argv[0], c.argv[1:]...)
	cmd.Env = append(os.Environ(), c.env...)
	start := time.Now()
	err := cmd.Run()
	took := time.Since(start)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", cmd, err)
	}
	return took, nil
}

// rows are all comparisons, in the order of the table.
var rows = []row{
	{
		name:  "start",
		title: "`run --rm --network NET busybox true` against `runc run` of a bare bundle without a network",
		prepare: func(b *bench) ([]contestant, error) {
			all := []contestant{
				{name: "runc run", argv: []string{"runc", "run", "--bundle", b.bundle, "ctr-bench-start"}},
				{name: "ctr run", env: b.env, argv: []string{b.ctr, "run", "--rm", "--network", network, "busybox", "true"}, target: 2.0},
			}
			for _, p := range b.peers {
				all = append(all, contestant{
					name: p.name + " run", env: p.env, argv: []string{p.name, "run", "--rm", "--network", network, image, "true"},
				})
			}
			return all, nil
		},
	},
	{
		name:  "exec",
		title: "`exec NAME true` against `runc exec`",
		prepare: func(b *bench) ([]contestant, error) {
			if _, err := command(b.env, b.ctr, "run", "-d", "--name", "ctr-bench-exec", "busybox", "sleep", "1000"); err != nil {
				return nil, err
			}
			// Its process keeps the standard streams that it was given: they must be nobody's pipe.
			detached := exec.Command("runc", "run", "--detach", "--bundle", b.sleepBundle, "ctr-bench-exec")
			if err := detached.Run(); err != nil {
				return nil, fmt.Errorf("%s: %w", detached, err)
			}
			all := []contestant{
				{name: "runc exec", argv: []string{"runc", "exec", "ctr-bench-exec", "true"}},
				{name: "ctr exec", env: b.env, argv: []string{b.ctr, "exec", "ctr-bench-exec", "true"}, target: 0.8},
			}
			for _, p := range b.peers {
				if _, err := command(p.env, p.name, "run", "-d", "--name", "ctr-bench-exec", image, "sleep", "1000"); err != nil {
					return nil, err
				}
				all = append(all, contestant{
					name: p.name + " exec", env: p.env, argv: []string{p.name, "exec", "ctr-bench-exec", "true"},
				})
			}
			return all, nil
		},
		clean: func(b *bench) error {
			_, err := command(b.env, b.ctr, "rm", "-f", "ctr-bench-exec")
			return err
		},
	},
	{
		name:  "version",
		title: "`ctr version`, the start of the binary, against `true`",
		prepare: func(b *bench) ([]contestant, error) {
			return []contestant{
				{name: "true", argv: []string{"/bin/true"}},
				{name: "ctr version", env: b.env, argv: []string{b.ctr, "version"}, target: 5.0},
			}, nil
		},
	},
}
