package monitor

import (
	"time"

	"ctr/runtime/container"
)

// Docker's back-off: 100 ms before the first restart, twice as long before each further one, a minute at most; from the
// beginning when the container has run for ten seconds.
const (
	firstDelay = 100 * time.Millisecond
	maxDelay   = time.Minute
	goodRun    = 10 * time.Second
	// stopPoll is how often a monitor that waits to restart looks whether the user has stopped the container meanwhile.
	stopPoll = 50 * time.Millisecond
)

// policy decides whether a container that has ended is started again.
type policy struct {
	container.RestartPolicy
	policyState
}

// policyState is what it remembers.
type policyState struct {
	Delay    time.Duration `json:"delay,omitempty"`
	Restarts int           `json:"restarts,omitempty"`
}

// decision is what it decided.
type decision struct {
	restart bool
	delay   time.Duration
}

func newPolicy(p container.RestartPolicy) *policy { return &policy{RestartPolicy: p} }

// resume goes on after restarts that another process has seen.
func (p *policy) resume(restarts int) {
	p.Restarts = restarts
	for range restarts {
		p.Delay = min(max(2*p.Delay, firstDelay), maxDelay)
	}
}

// next decides after a run that took so long and ended with the code.
func (p *policy) next(c *container.Container, code int, ran time.Duration) decision {
	if c.StopAsked() {
		return decision{}
	}
	switch p.Name {
	case "always", "unless-stopped":
	case "on-failure":
		if code == 0 || (p.MaxRetries > 0 && p.Restarts >= p.MaxRetries) {
			return decision{}
		}
	default:
		return decision{}
	}
	p.Restarts++
	switch {
	case p.Delay == 0 || ran >= goodRun:
		p.Delay = firstDelay
	default:
		p.Delay = min(2*p.Delay, maxDelay)
	}
	return decision{restart: true, delay: p.Delay}
}

// pauseBefore waits out the delay. It tells whether to go on: not if the user stops the container meanwhile.
func (m *monitor) pauseBefore(d decision) bool {
	end := time.NewTimer(d.delay)
	defer end.Stop()
	look := time.NewTicker(stopPoll)
	defer look.Stop()
	for {
		select {
		case <-end.C:
			return true
		case <-look.C:
			if m.c.StopAsked() {
				return false
			}
		}
	}
}
