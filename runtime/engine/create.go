package engine

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/opencontainers/runc/libcontainer"

	"ctr/internal/proc"
)

// Created is a container whose init waits to become the program.
type Created struct {
	// Warnings are for the user, one line each: what was asked for and is given only in part.
	Warnings []string

	stateDir, id string
	c            *libcontainer.Container
	init         *Process
}

// Create makes a container up to the point where its program could start. It must run on a locked thread (of a goroutine
// that called runtime.LockOSThread) in whose mount namespace the root file system is mounted; the init is forked from it, and
// so becomes a child of the process.
//
// On error nothing is left behind. It is a *StartError if only the program is at fault. Else the caller has to call Destroy,
// whether it calls Release or not: an init that is not released waits for ever.
func Create(c Config, io Stdio) (_ *Created, err error) {
	openHierarchies()
	h, err := thisHost(c)
	if err != nil {
		return nil, err
	}
	config, warnings, err := c.libcontainer(h)
	if err != nil {
		return nil, err
	}
	id := c.Spec.ID
	root, name := libcontainerDir(c.StateDir, id)
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("make state folder: %w", err)
	}
	r := record{Cgroup: config.Cgroups.Path, SharedPID: c.PIDNS != ""}
	if err := r.write(c.StateDir, id); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			if left := Destroy(c.StateDir, id); left != nil {
				err = errors.Join(err, left)
			}
		}
	}()
	lc, err := libcontainer.Create(root, name, config)
	if err != nil {
		return nil, fmt.Errorf("create container: %w", err)
	}
	x := &Created{Warnings: warnings, stateDir: c.StateDir, id: id, c: lc}
	if x.init, err = start(lc, c.program(io.Console), io); err != nil {
		return nil, err
	}
	r.Init = x.init.ID
	if err := r.write(c.StateDir, id); err != nil {
		return nil, errors.Join(err, x.Destroy())
	}
	return x, nil
}

// program is the container's first.
func (c Config) program(tty bool) *libcontainer.Process {
	return &libcontainer.Process{
		Init:             true,
		Args:             c.Args,
		Env:              environment(c.Env, c.Hostname, c.User.Home, tty),
		UID:              c.User.UID,
		GID:              c.User.GID,
		AdditionalGroups: c.User.Groups,
		Cwd:              cmp.Or(c.WorkDir, "/"),
	}
}

// Init is the container's first process: its PID in the caller's PID namespace.
func (x *Created) Init() proc.ID { return x.init.ID }

// Pty is the program's terminal, nil if it has none: see Process.
func (x *Created) Pty() *os.File { return x.init.Pty }

// Release lets the program start. It returns when the init is about to execute it; an error of execve(2) itself (an unknown
// format) is written to the container's stderr by the init, which then exits with 255.
func (x *Created) Release() error {
	if err := x.c.Exec(); err != nil {
		return fmt.Errorf("release container: %w", err)
	}
	return nil
}

// Wait reaps the program and returns its exit code: see Process. It must be called once, before Destroy.
func (x *Created) Wait() (code int, err error) { return x.init.Wait() }

// Destroy ends what still runs in the container, reaps the init unless Wait has, and removes all that Create made.
func (x *Created) Destroy() error {
	r, err := readRecord(x.stateDir, x.id)
	if err == nil {
		err = r.kill()
	}
	if !x.init.reaped && err == nil {
		_, err = x.init.Wait()
	}
	return errors.Join(err, Destroy(x.stateDir, x.id))
}
