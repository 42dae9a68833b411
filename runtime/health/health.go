// Package health is one health check of a container, as a process: the keeper executes ctr for each (package keep), which runs
// the command in the container, as `exec` does, and writes down how it went. No process waits beside the container for it.
//
//	keeper ──exec: ctr-health DATA RUN ID──▶ probe ──exec──▶ the command, in the container
//	   ◀── exit code: 0, or "look again soon" ──┘
//
// It owns health.json in the container's run folder.
package health

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"ctr/runtime/attach"
	"ctr/runtime/container"
	"ctr/runtime/engine"
	"ctr/runtime/keep"
	"ctr/runtime/lifecycle"
	"ctr/runtime/monitor"
)

// maxOutput is how much of a check's output is kept, in bytes.
const maxOutput = 4096

// reapTime is how long a check that was killed may take to be gone.
const reapTime = 2 * time.Second

// Main runs one check and does not return, if this process was started for that; else it does nothing.
func Main() {
	if len(os.Args) != 4 || os.Args[0] != monitor.ProbeName {
		return
	}
	keep.Frugal(false) // the check is like any program of the container
	early, err := check(lifecycle.Roots{Data: os.Args[1], Run: os.Args[2]}, os.Args[3])
	switch {
	case err != nil:
		os.Exit(1)
	case early:
		os.Exit(keep.ProbeEarly)
	}
	os.Exit(0)
}

// check looks once. It tells whether the container is still starting.
func check(roots lifecycle.Roots, id string) (early bool, err error) {
	in, err := lifecycle.Open(roots)
	if err != nil {
		return false, err
	}
	c, err := in.Containers.Load(id)
	if err != nil {
		return false, err
	}
	state := c.State()
	if state.Status != container.Running || state.Health == nil {
		return false, nil // a paused one is not looked at
	}
	spec := c.Spec.Health.WithDefaults()
	probe, err := run(in, c, spec)
	if c.State().Status != container.Running || errors.Is(err, engine.ErrPaused) {
		return false, nil // it was the end that the check ran into, or a pause
	}
	now := spec.Next(*state.Health, probe)
	if now.Status != state.Health.Status {
		in.Notify(c, "health_status: "+now.Status)
	}
	return spec.Early(now, time.Now()), c.WriteHealth(now)
}

// run runs the command and returns what came of it, and what kept the command from running at all.
func run(in *lifecycle.Installation, c *container.Container, spec container.HealthCheck) (p container.HealthProbe, err error) {
	p = container.HealthProbe{Start: time.Now(), ExitCode: -1}
	ctx, cancel := context.WithTimeout(context.Background(), spec.Timeout)
	defer cancel()
	var out output
	type end struct {
		code int
		err  error
	}
	ended := make(chan end, 1)
	go func() {
		args, err := arguments(spec.Test)
		if err != nil {
			ended <- end{-1, err}
			return
		}
		code, err := in.Exec(ctx, c, lifecycle.ExecSpec{Args: args, Bound: true}, &attach.Streams{Stdout: &out, Stderr: &out})
		ended <- end{code, err}
	}()
	select {
	case e := <-ended:
		if p.ExitCode, err = e.code, e.err; err != nil {
			p.ExitCode = -1
			fmt.Fprint(&out, err)
		}
	case <-ctx.Done():
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		select { // what it has started may still hold its output
		case <-ended:
		case <-time.After(reapTime):
		}
		p.ExitCode = -1
		p.Output = fmt.Sprintf("Health check exceeded timeout (%s)", spec.Timeout)
		if text := out.String(); text != "" {
			p.Output += ": " + text
		}
	} else {
		p.Output = out.String()
	}
	p.End = time.Now()
	return p, err
}

// arguments are what a HEALTHCHECK says to run.
func arguments(test []string) ([]string, error) {
	switch test[0] {
	case "CMD":
		return test[1:], nil
	case "CMD-SHELL":
		return append([]string{"/bin/sh", "-c"}, test[1:]...), nil
	}
	return nil, fmt.Errorf("Unknown healthcheck type '%s' (expected 'CMD')", test[0]) //nolint:staticcheck // Docker's words
}

// output keeps the beginning of what is written to it.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p[:min(len(p), maxOutput-o.text.Len())])
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
