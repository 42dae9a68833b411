package engine

import (
	"fmt"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runc/libcontainer/configs"
	"github.com/opencontainers/runc/libcontainer/specconv"
	"github.com/opencontainers/runtime-spec/specs-go"

	"ctr/internal/span"
	"ctr/runtime/container"
)

// unconfined as a security option takes the protection away.
const unconfined = "unconfined"

// seccompFilter returns the filter of system calls, nil for none: compiled, where this build can load such a one and there
// is a folder to keep it in, else as a profile that the init compiles.
func seccompFilter(cache string, s container.Security, granted []string) (*configs.Seccomp, error) {
	defer span.Begin("seccomp filter").End()
	if s.Seccomp == unconfined || s.Privileged && s.Seccomp == "" {
		return nil, nil
	}
	if cache != "" {
		return compiledFilter(cache, s, granted)
	}
	return seccompProfile(s, granted)
}

// seccompProfile returns the rules of the filter. The granted capabilities open the calls that belong to them, so the default
// profile is not the same for every container.
func seccompProfile(s container.Security, granted []string) (*configs.Seccomp, error) {
	spec := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: granted}}}
	var profile *specs.LinuxSeccomp
	var err error
	if s.Seccomp == "" {
		profile, err = seccomp.GetDefaultProfile(spec)
	} else {
		profile, err = seccomp.LoadProfile(s.Seccomp, spec)
	}
	if err != nil {
		return nil, fmt.Errorf("read seccomp profile: %w", err)
	}
	out, err := specconv.SetupSeccomp(profile)
	if err != nil {
		return nil, fmt.Errorf("translate seccomp profile: %w", err)
	}
	return out, nil
}
