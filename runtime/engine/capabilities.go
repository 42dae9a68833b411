package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/runc/libcontainer/configs"

	"ctr/runtime/container"
)

// defaultCapabilities are those of Docker's containers (moby/profiles, daemon/pkg/oci/caps).
var defaultCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// allCapabilities as a name stands for every capability.
const allCapabilities = "ALL"

func capabilityName(c capability.Cap) string { return "CAP_" + strings.ToUpper(c.String()) }

// capabilityNames brings names to one form: CAP_NET_ADMIN for net_admin. It refuses unknown ones with Docker's words.
func capabilityNames(flag string, names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		full := strings.ToUpper(strings.TrimSpace(name))
		if full != allCapabilities && !strings.HasPrefix(full, "CAP_") {
			full = "CAP_" + full
		}
		known := slices.ContainsFunc(capability.ListKnown(), func(c capability.Cap) bool { return capabilityName(c) == full })
		if full != allCapabilities && full != "CAP_"+allCapabilities && !known {
			return nil, fmt.Errorf("invalid %s: unknown capability: %q", flag, name)
		}
		if full == "CAP_"+allCapabilities {
			full = allCapabilities
		}
		out = append(out, full)
	}
	return out, nil
}

// capabilities computes what a container's programs hold, in the order of the capabilities' numbers, and tells which were
// asked for by name but are not ours to give.
func capabilities(s container.Security, h host) (granted, missing []string, err error) {
	adds, err := capabilityNames("CapAdd", s.CapAdd)
	if err != nil {
		return nil, nil, err
	}
	drops, err := capabilityNames("CapDrop", s.CapDrop)
	if err != nil {
		return nil, nil, err
	}
	want := func(name string) bool {
		switch {
		case s.Privileged:
			return true
		case slices.Contains(adds, allCapabilities):
			return !slices.Contains(drops, name)
		case slices.Contains(drops, allCapabilities):
			return slices.Contains(adds, name)
		case slices.Contains(adds, name):
			return true
		default:
			return slices.Contains(defaultCapabilities, name) && !slices.Contains(drops, name)
		}
	}
	for _, name := range h.capabilities {
		if want(name) {
			granted = append(granted, name)
		}
	}
	for _, name := range adds {
		if name != allCapabilities && !s.Privileged && !slices.Contains(h.capabilities, name) {
			missing = append(missing, name)
		}
	}
	return granted, missing, nil
}

// capabilitySets fills the sets that execve(2) does not empty for root. The inheritable and ambient sets stay empty: with
// them a program without privileges would keep some (CVE-2022-24769).
func capabilitySets(names []string) *configs.Capabilities {
	return &configs.Capabilities{Bounding: names, Effective: names, Permitted: names}
}
