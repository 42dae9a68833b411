// Package lifecycle is what can be done with the containers of one installation: create, start, stop, kill, exec, attach,
// wait, rename, remove, reset. Each operation is one call that works on the records and the kernel alone; there is no daemon.
//
// Whoever changes a container holds its lock (package container). A running container's is held by its monitor, so the
// operations on those act on the processes and leave the records to the monitor. Where the lock of a container with a run
// folder is free, its monitor was killed: the operation first starts a successor, which takes over the container that still runs
// (see succession.go), or takes down what is left of one that does not (see recovery.go).
//
// What may change while a container runs (its name, its networks, its published ports: see change.go) is changed under a lock of
// its own and that of its run folder, and the record is saved last. The monitor reads the record again when a run has ended.
package lifecycle

import (
	"errors"
	"time"

	"ctr/images"
	"ctr/runtime/container"
	"ctr/runtime/engine"
	"ctr/runtime/installation"
)

// Roots are the two folders of an installation.
type Roots = installation.Roots

// Installation is the containers, networks and images under one pair of roots, and what can be done with them.
type Installation struct {
	*installation.Installation
	// Tell is told what the user should know beside what they asked for; nil: nobody.
	Tell func(text string)
}

// Open opens the installation under the roots, and makes what is missing.
func Open(roots Roots) (*Installation, error) {
	in, err := installation.Open(roots)
	if err != nil {
		return nil, err
	}
	return &Installation{Installation: in}, nil
}

// Pull says when Create asks the registry.
type Pull string

// The values of --pull.
const (
	PullMissing Pull = "missing"
	PullAlways  Pull = "always"
	PullNever   Pull = "never"
)

// CreateOptions are what Create needs and does not keep.
type CreateOptions struct {
	Pull     Pull // empty: PullMissing
	Platform string
	Progress func(images.Event) // of a pull; nil: silent
	Notice   func(string)       // one line for the user; nil: silent
	// VolumesFrom are containers whose volumes the new one has too: NAME[:ro|rw].
	VolumesFrom []string
}

// ExecSpec is one `exec`.
type ExecSpec struct {
	Args       []string
	Env        []string // NAME=value, added to the container's
	WorkDir    string
	User       string
	TTY        bool
	Privileged bool
	Bound      bool // the program, with its process group, is killed when the context ends
}

// StopOptions are those of `stop`.
type StopOptions struct {
	Signal  string         // empty: the container's
	Timeout *time.Duration // nil: the container's; negative: for ever
}

// RemoveOptions are those of `rm`.
type RemoveOptions struct {
	Force   bool
	Volumes bool // and the volumes that were made for it alone
}

// ErrUnknownImage is returned by Create with PullNever.
var ErrUnknownImage = errors.New("no such image")

// SystemPaths are the paths that a container with these settings cannot see, and those that it cannot write.
func SystemPaths(s container.Security) (masked, readonly []string) { return engine.SystemPaths(s) }
