package engine

import (
	"cmp"
	"errors"
	"fmt"
	"path"

	"github.com/opencontainers/runc/libcontainer"

	"ctr/runtime/container"
)

// ExecConfig is one more program in a running container.
type ExecConfig struct {
	User    User
	Args    []string
	Env     []string // NAME=value, the container's and what is added; PATH, HOSTNAME, TERM and HOME are added when missing
	WorkDir string   // absolute, or empty for "/"; must exist

	Hostname   string // for HOSTNAME
	Privileged bool   // all of our own capabilities; the seccomp filter stays, as in Docker
}

// ErrPaused is returned for what cannot be done with a paused container.
var ErrPaused = errors.New("container is paused")

// Exec runs a program in a container: in all of its namespaces and its cgroup, with its limits and its seccomp filter. The
// program is a child of the caller, which has to call Wait. It returns container.ErrNotRunning, ErrPaused, or a *StartError.
func Exec(stateDir, id string, e ExecConfig, io Stdio) (*Process, error) {
	if err := e.validate(); err != nil {
		return nil, err
	}
	root, name := libcontainerDir(stateDir, id)
	c, err := libcontainer.Load(root, name)
	if errors.Is(err, libcontainer.ErrNotExist) {
		return nil, container.ErrNotRunning
	} else if err != nil {
		return nil, fmt.Errorf("load container: %w", err)
	}
	switch status, err := c.Status(); {
	case err != nil:
		return nil, fmt.Errorf("load container: %w", err)
	case status == libcontainer.Paused:
		return nil, ErrPaused
	case status != libcontainer.Running:
		return nil, container.ErrNotRunning
	}
	p := &libcontainer.Process{
		Args:             e.Args,
		Env:              environment(e.Env, e.Hostname, e.User.Home, io.Console),
		UID:              e.User.UID,
		GID:              e.User.GID,
		AdditionalGroups: e.User.Groups,
		Cwd:              cmp.Or(e.WorkDir, "/"),
	}
	if e.Privileged {
		own, err := ownCapabilities()
		if err != nil {
			return nil, err
		}
		p.Capabilities = capabilitySets(own)
	}
	return start(c, p, io)
}

func (e ExecConfig) validate() error {
	switch {
	case len(e.Args) == 0 || e.Args[0] == "":
		return errors.New("no command specified")
	case e.WorkDir != "" && !path.IsAbs(e.WorkDir):
		return fmt.Errorf("the working directory %q is invalid, it needs to be an absolute path", e.WorkDir)
	}
	return checkProgram(e.Args, e.Env)
}
