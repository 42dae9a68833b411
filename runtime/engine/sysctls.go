package engine

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"ctr/runtime/container"
)

// ipcSysctls are those of the IPC namespace, besides fs.mqueue.*.
var ipcSysctls = map[string]bool{
	"kernel.msgmax": true, "kernel.msgmnb": true, "kernel.msgmni": true, "kernel.sem": true, "kernel.shmall": true,
	"kernel.shmmax": true, "kernel.shmmni": true, "kernel.shm_rmid_forced": true,
}

// sysctls returns what is written to /proc/sys in the container. Only settings of a namespace that the container has for
// itself are let through: any other would change the host or a neighbour.
func sysctls(c Config) (map[string]string, error) {
	ownNet := c.NetNS != HostNS && (c.Spec.Network.Mode == container.ModePrivate || c.Spec.Network.Mode == container.ModeNone)
	ownIPC := c.IPCNS == ""
	out := map[string]string{}
	if ownNet {
		// As Docker does: ping and servers on low ports need no capabilities.
		out["net.ipv4.ip_unprivileged_port_start"] = "0"
		out["net.ipv4.ping_group_range"] = "0 " + strconv.Itoa(c.lastGroup())
	}
	for name, value := range c.Spec.Security.Sysctls {
		if err := checkSysctlText(name, value); err != nil {
			return nil, err
		}
		switch {
		case strings.HasPrefix(name, "net."):
			if !ownNet {
				return nil, fmt.Errorf("sysctl %q is not allowed: the container has no network namespace of its own", name)
			}
		case ipcSysctls[name] || strings.HasPrefix(name, "fs.mqueue."):
			if !ownIPC {
				return nil, fmt.Errorf("sysctl %q is not allowed: the container has no IPC namespace of its own", name)
			}
		default:
			return nil, fmt.Errorf("sysctl %q is not allowed: it is not that of a namespace", name)
		}
	}
	maps.Copy(out, c.Spec.Security.Sysctls)
	return out, nil
}

// checkSysctlText refuses what could lead out of the named file: sysctl(8) swaps dots and slashes, so "net.//.kernel" is
// net/../kernel (CVE-2022-0811 smuggled a second setting in by a '+').
func checkSysctlText(name, value string) error {
	for _, r := range name {
		ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-'
		if !ok {
			return fmt.Errorf("sysctl %q is not allowed: its name holds %q", name, r)
		}
	}
	if strings.Contains(name, "..") || strings.HasSuffix(name, ".") {
		return fmt.Errorf("sysctl %q is not allowed: malformed name", name)
	}
	if strings.ContainsAny(value, "+\n\r\x00") {
		return fmt.Errorf("sysctl %q is not allowed: its value %q holds more than one line or a '+'", name, value)
	}
	return nil
}
