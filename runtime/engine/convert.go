package engine

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runc/libcontainer/configs"
)

// libcontainer translates c for a host, but for the seccomp filter, which depends on the running kernel. It is pure: nothing
// is looked up here. The warnings are for the user: what was asked for and is given only in part.
func (c Config) libcontainer(h host) (_ *configs.Config, warnings []string, err error) {
	if err := c.validate(); err != nil {
		return nil, nil, err
	}
	s := c.Spec.Security
	out := &configs.Config{
		Rootfs:          c.Rootfs,
		Readonlyfs:      c.Spec.Rootfs.ReadOnly,
		RootPropagation: rootPropagation(c.Mounts),
		Namespaces:      namespaces(c),
		NoNewPrivileges: s.NoNewPrivileges,
		AppArmorProfile: appArmorProfile(s, h),
		Devices:         deviceNodes(h.devices),
	}
	if c.UserNS != nil {
		if err := c.mapUsers(out); err != nil {
			return nil, nil, err
		}
	}
	if c.UTSNS == "" {
		out.Hostname, out.Domainname = c.Hostname, c.Domainname
	}
	granted, missing, err := capabilities(s, h)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range missing {
		warnings = append(warnings, fmt.Sprintf("capability %s is not ours to give: left out", name))
	}
	out.Capabilities = capabilitySets(granted)
	if out.Sysctl, err = sysctls(c); err != nil {
		return nil, nil, err
	}
	if out.Mounts, err = mounts(c, h); err != nil {
		return nil, nil, err
	}
	out.MaskPaths, out.ReadonlyPaths = systemPaths(s, h)

	more, err := c.limits(out, h)
	return out, append(warnings, more...), err
}

// limits fills in what bounds the container's use of the machine.
func (c Config) limits(out *configs.Config, h host) (warnings []string, err error) {
	res, warnings, err := resources(c.Spec.Resources, h)
	if err != nil {
		return nil, err
	}
	if res.Devices, err = deviceRules(c.Spec.Security, h.devices); err != nil {
		return nil, err
	}
	out.Cgroups = &cgroups.Cgroup{Path: cgroupPath(c.Cgroup), Resources: res}

	limits, more, err := rlimits(c.Spec.Resources.Ulimits, h)
	if err != nil {
		return nil, err
	}
	out.Rlimits, warnings = limits, append(warnings, more...)

	adj, warning := oomScoreAdj(c.Spec.Resources.OOMScoreAdj, h)
	if warning != "" {
		warnings = append(warnings, warning)
	}
	out.OomScoreAdj = adj
	return warnings, nil
}

// cgroupPath makes the path absolute: libcontainer takes a relative one as below the caller's own cgroup.
func cgroupPath(p string) string { return path.Join("/", p) }

func (c Config) validate() error {
	switch {
	case len(c.Args) == 0 || c.Args[0] == "":
		return errors.New("no command specified")
	case c.WorkDir != "" && !path.IsAbs(c.WorkDir):
		return fmt.Errorf("the working directory %q is invalid, it needs to be an absolute path", c.WorkDir)
	case cgroupPath(c.Cgroup) == "/":
		return errors.New("no cgroup specified")
	}
	return checkProgram(c.Args, c.Env)
}

// checkProgram refuses what execve(2) would cut short.
func checkProgram(args, env []string) error {
	for _, a := range args {
		if strings.ContainsRune(a, 0) {
			return fmt.Errorf("argument %q holds a NUL byte", a)
		}
	}
	for _, e := range env {
		name, _, ok := strings.Cut(e, "=")
		if !ok || name == "" || strings.ContainsRune(e, 0) {
			return fmt.Errorf("invalid environment variable %q: want NAME=value", e)
		}
	}
	return nil
}
