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
	// measure does it once, and returns the result in the row's unit.
	measure func() (float64, error)
	// base names the contestant that this one is compared with, if it takes part; empty: the first of the row.
	base string
	// target is the ratio of its median to the base's that we aim for, and limit the median itself: at most that, or at least
	// where more is better. 0: it is there to compare.
	target, limit float64
	// slower is how many times the base's median this one is meant to take: it is a peer that ctr is to beat. 0: nothing.
	slower float64
	// nothing means that any value but 0 is a failure.
	nothing bool
	// mayFail says that it is a peer that is known to fail now and then: the rounds in which it did do not count, and are told.
	mayFail bool
}

// row is one comparison.
type row struct {
	name   string // for -row
	title  string
	unit   string
	more   bool // more is better
	rounds int  // 0: as many as the command line says
	// prepare makes what the contestants need and returns them; clean takes it away again.
	prepare func(b *bench) ([]contestant, error)
	clean   func(b *bench) error
}

// result is what was measured of a contestant.
type result struct {
	contestant
	values   []float64 // sorted
	failures int       // rounds that do not count
}

func (r result) quantile(q float64) float64 { return r.values[int(q*float64(len(r.values)-1))] }

func (r result) median() float64 { return r.quantile(0.5) }

// warmUp is how many rounds do not count: caches and first-time work are not what is compared.
const warmUp = 3

// measure lets the contestants run in turn.
func measure(b *bench, row row, contestants []contestant) ([]result, error) {
	rounds, warm := b.rounds, warmUp
	if row.rounds > 0 {
		rounds, warm = min(row.rounds, b.rounds), 0
	}
	results := make([]result, len(contestants))
	for i, c := range contestants {
		results[i].contestant = c
	}
	for round := range warm + rounds {
		for i, c := range contestants {
			value, err := c.measure()
			switch {
			case err != nil && c.mayFail:
				results[i].failures++
			case err != nil:
				return nil, fmt.Errorf("%s: %w", c.name, err)
			case round >= warm:
				results[i].values = append(results[i].values, value)
			}
		}
	}
	for _, r := range results {
		slices.Sort(r.values)
	}
	return results, nil
}

// timed measures a whole command, from fork to the end, in milliseconds.
func timed(env []string, argv ...string) func() (float64, error) {
	return func() (float64, error) {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = append(os.Environ(), env...)
		start := time.Now()
		err := cmd.Run()
		took := time.Since(start)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", cmd, err)
		}
		return float64(took) / float64(time.Millisecond), nil
	}
}
