package engine

import (
	"fmt"
	"os"
	"strings"

	"github.com/opencontainers/runc/libcontainer/apparmor"

	"ctr/runtime/container"
)

// dockerAppArmor is the profile that containers get where somebody (Docker, a package) has loaded it into the kernel.
const dockerAppArmor = "docker-default"

// appArmorProfile returns the profile of a container's programs, empty for none.
func appArmorProfile(s container.Security, h host) string {
	switch {
	case s.AppArmor == unconfined, s.AppArmor == "" && (s.Privileged || !h.appArmor):
		return ""
	case s.AppArmor == "":
		return dockerAppArmor
	default:
		return s.AppArmor
	}
}

// checkAppArmor tells whether a profile that was asked for by name is there.
func checkAppArmor(s container.Security) error {
	if s.AppArmor == "" || s.AppArmor == unconfined || appArmorLoaded(s.AppArmor) {
		return nil
	}
	if !apparmor.IsEnabled() {
		return fmt.Errorf("cannot apply profile %q: AppArmor is not enabled on this host", s.AppArmor)
	}
	return fmt.Errorf("cannot apply profile %q: the kernel has no AppArmor profile of that name", s.AppArmor)
}

// appArmorLoaded tells whether the kernel enforces AppArmor and knows the profile.
func appArmorLoaded(profile string) bool {
	if !apparmor.IsEnabled() {
		return false
	}
	list, err := os.ReadFile("/sys/kernel/security/apparmor/profiles")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(list)) {
		if name, _, ok := strings.Cut(line, " ("); ok && name == profile {
			return true
		}
	}
	return false
}
