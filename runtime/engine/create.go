package engine

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ctr/internal/proc"
	"ctr/internal/span"
	"ctr/runtime/container"
	"ctr/runtime/engine/pid1"
)

// Created is a container whose init waits to become the program.
type Created struct {
	// Warnings are for the user, one line each: what was asked for and is given only in part.
	Warnings []string

	stateDir, id string
	c            *libcontainer.Container
	init         *Process
}

// Beside is what goes on beside Create, and meets it on its way.
type Beside struct {
	// NetNS, if not nil, waits for what Config.NetNS is to be, and for the files of Config.Binds. It is called once, when
	// nothing else is left to be done without; its error is Create's.
	NetNS func() (string, error)
	// Started, if not nil, is told of the init while that is still at work in its namespaces, 5 ms before Create returns. It
	// must not wait for Create; Create waits for it.
	Started func(init proc.ID)
}

// Create makes a container up to the point where its program could start. It must run on a locked thread (of a goroutine
// that called runtime.LockOSThread) in whose mount namespace the root file system is mounted; the init is forked from it, and
// so becomes a child of the process.
//
// On error nothing is left behind. It is a *StartError if only the program is at fault. Else the caller has to call Destroy,
// whether it calls Release or not: an init that is not released waits for ever.
func Create(c Config, io Stdio, beside Beside) (_ *Created, err error) {
	defer span.Begin("create container").End()
	h, err := thisHost(c)
	if err != nil {
		return nil, err
	}
	config, warnings, err := c.libcontainer(h)
	if err != nil {
		return nil, err
	}
	if config.Seccomp, err = seccompFilter(c.SeccompCache, c.Spec.Security, config.Capabilities.Bounding); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(c.StateDir, c.Spec.ID), 0o700); err != nil {
		return nil, fmt.Errorf("make state folder: %w", err)
	}
	r := record{Cgroup: config.Cgroups.Path}
	if err := r.write(c.StateDir, c.Spec.ID); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			if left := Destroy(c.StateDir, c.Spec.ID); left != nil {
				err = errors.Join(err, left)
			}
		}
	}()
	x := &Created{Warnings: warnings, stateDir: c.StateDir, id: c.Spec.ID}
	if err := x.start(c, config, h, io, beside); err != nil {
		return nil, err
	}
	r.Init = x.init.ID
	if err := r.write(c.StateDir, c.Spec.ID); err != nil {
		return nil, errors.Join(err, x.Destroy())
	}
	return x, nil
}

// start has libcontainer make the container and start the init, on top of what is prebuilt.
func (x *Created) start(c Config, config *configs.Config, h host, io Stdio, beside Beside) (err error) {
	ahead := !c.plain && c.UserNS == nil
	if ahead {
		defer c.unmountStages()
		if err := c.prebuild(config, h); err != nil {
			return err
		}
		null, err := c.replaceNull(&io)
		if err != nil {
			return fmt.Errorf("open null device: %w", err)
		}
		defer null.Close()
	}
	if beside.NetNS != nil {
		waiting := span.Begin("await network namespace")
		c.NetNS, err = beside.NetNS()
		waiting.End()
		if err != nil {
			return err
		}
		if config.Namespaces.Remove(configs.NEWNET); c.NetNS != HostNS {
			config.Namespaces.Add(configs.NEWNET, c.NetNS)
		}
	}
	switch {
	case ahead:
		if err := c.prebuildFiles(config); err != nil {
			return err
		}
	case c.UserNS != nil:
		unstage, err := c.stageForUserNS(config)
		if err != nil {
			return err
		}
		defer unstage()
	}
	config.Hooks = onStarted(beside.Started)
	root, name := libcontainerDir(c.StateDir, c.Spec.ID)
	if x.c, err = libcontainer.Create(root, name, config); err != nil {
		return fmt.Errorf("create container: %w", err)
	}
	x.init, err = start(x.c, c.program(io.Console), io)
	return err
}

// onStarted calls f when libcontainer, after the mounts, waits for a runtime's hooks (runtime-spec, config.md: createRuntime).
// Such a hook is never written to disk.
func onStarted(f func(proc.ID)) configs.Hooks {
	if f == nil {
		return nil
	}
	return configs.Hooks{configs.CreateRuntime: {configs.NewFunctionHook(func(s *specs.State) error {
		init, err := proc.Of(s.Pid)
		if err == nil {
			f(init)
		}
		return err
	})}}
}

// program is the container's first.
func (c Config) program(tty bool) *libcontainer.Process {
	args := c.Args
	if c.Spec.Init {
		args = pid1.Args(args)
	}
	return &libcontainer.Process{
		Init:             true,
		Args:             args,
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
	defer span.Begin("release init").End()
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
	if errors.Is(err, container.ErrNotRunning) {
		err = nil // destroyed by somebody else
	} else if err == nil {
		err = r.kill()
	}
	if !x.init.reaped && err == nil {
		if _, err = x.init.Wait(); errors.Is(err, unix.ECHILD) {
			err = nil // reaped by a wait4(2) of the caller's own
		}
	}
	return errors.Join(err, Destroy(x.stateDir, x.id))
}
