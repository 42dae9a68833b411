// Package lifecycle is what can be done with the containers of one installation: create, start, stop, kill, exec, attach,
// wait, remove, reset. Each operation is one call that works on the records and the kernel alone; there is no daemon.
package lifecycle

import (
	"context"
	"io"
	"time"

	"ctr/images"
	"ctr/network"
	"ctr/rootfs"
	"ctr/runtime/attach"
	"ctr/runtime/container"
)

// Roots are the two folders of an installation.
type Roots struct {
	Data string // what the user asked for; default /var/lib/ctr
	Run  string // what names live kernel objects; default /run/ctr
}

// Installation is the containers, networks and images under one pair of roots.
type Installation struct {
	Roots      Roots
	Tag        string // "" for the default roots, else 8 hexadecimal digits that mark our kernel objects
	Containers *container.Store
	Networks   *network.Networks
	Images     *images.Store
	Layers     *rootfs.Layers
}

// Pull says when `create` asks the registry.
type Pull string

// The values of --pull.
const (
	PullMissing Pull = "missing"
	PullAlways  Pull = "always"
	PullNever   Pull = "never"
)

// CreateOptions are what `create` needs and does not keep.
type CreateOptions struct {
	Pull     Pull
	Platform string
	Progress func(images.Event) // of a pull; nil: silent
	Notice   func(string)       // one line for stderr: "Unable to find image 'x:latest' locally", warnings
}

// Session is a foreground start or an attach that goes on.
type Session interface {
	// Wait relays the streams until the program ends or the user detaches. With AutoRemove it returns only when the container
	// is gone.
	Wait() (attach.Result, error)
}

// Signatures that cmd programs against; see each function's own file:
//
//	Open(Roots) (*Installation, error)
//	(in) Create(ctx, container.Spec, CreateOptions) (*container.Container, error)
//	    The spec as the flags gave it: network names, "container:NAME" modes and image fields unresolved. A nil Entrypoint, Cmd, ... takes the image's.
//	(in) Start(ctx, *container.Container, *attach.Streams) (Session, error)     nil streams: detached, nil Session; *engine.StartError{Code: 126|127}
//	(in) Attach(ctx, *container.Container, attach.Streams) (Session, error)
//	(in) Exec(ctx, *container.Container, ExecSpec, *attach.Streams) (code int, err error)    nil streams: detached
//	(in) Signal(ctx, *container.Container, unix.Signal) error
//	(in) Stop(ctx, *container.Container, StopOptions) error     not running: nil
//	(in) Remove(ctx, *container.Container, RemoveOptions) error
//	(in) Wait(ctx, *container.Container) (code int, err error)
//	(in) Reset(ctx) error
//	(in.Containers) Find(ref string) (*container.Container, error); List() ([]*container.Container, error)
//	(c) State() (container.State, error); Spec; LogPath() string; Record() (*network.Record, error) of the running sandbox

// ExecSpec is one `exec`.
type ExecSpec struct {
	Args       []string
	Env        []string // NAME=value, added to the container's
	WorkDir    string
	User       string
	TTY        bool
	Privileged bool
}

// StopOptions are those of `stop`.
type StopOptions struct {
	Signal  string         // empty: the container's
	Timeout *time.Duration // nil: the container's
}

// RemoveOptions are those of `rm`.
type RemoveOptions struct {
	Force   bool
	Volumes bool
}

var _ = context.Background
var _ io.Reader
