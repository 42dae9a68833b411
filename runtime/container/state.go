package container

import (
	"errors"
	"time"
)

// Status is one word for what a container does now, as Docker spells it.
type Status string

// The statuses.
const (
	Created    Status = "created"
	Running    Status = "running"
	Paused     Status = "paused"
	Restarting Status = "restarting"
	Removing   Status = "removing"
	Exited     Status = "exited"
	Dead       Status = "dead"
)

// State is what a container does now. It is derived from the kernel and the records at each call, never kept.
type State struct {
	Status     Status
	PID        int // the init's, in the caller's PID namespace; 0 unless running or paused
	ExitCode   int
	StartedAt  time.Time // zero: never
	FinishedAt time.Time // zero: never, or still running
	Error      string    // why the last start failed
	OOMKilled  bool
	Restarts   int
	Health     string // "", starting, healthy, unhealthy
	Orphaned   bool   // it runs, but its monitor was killed
}

// Running tells whether the container has a process, paused or not.
func (s State) Running() bool { return s.Status == Running || s.Status == Paused }

// The errors that callers tell apart.
var (
	ErrNotFound   = errors.New("no such container")
	ErrNameInUse  = errors.New("name is already in use")
	ErrNotRunning = errors.New("container is not running")
	ErrRunning    = errors.New("container is running")
)
