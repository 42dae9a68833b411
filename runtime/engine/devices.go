package engine

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	sysdevices "github.com/moby/sys/devices"
	devices "github.com/opencontainers/cgroups/devices/config"

	"ctr/runtime/container"
)

// The devices that every container has, with nodes in /dev.
var defaultDevices = []*devices.Device{
	charDevice("/dev/null", 1, 3), charDevice("/dev/zero", 1, 5), charDevice("/dev/full", 1, 7),
	charDevice("/dev/random", 1, 8), charDevice("/dev/urandom", 1, 9), charDevice("/dev/tty", 5, 0),
}

func charDevice(path string, major, minor int64) *devices.Device {
	return &devices.Device{Path: path, FileMode: 0o666, Rule: charRule(major, minor, "rwm")}
}

func charRule(major, minor int64, perm devices.Permissions) devices.Rule {
	return devices.Rule{Type: devices.CharDevice, Major: major, Minor: minor, Permissions: perm, Allow: true}
}

// deviceRules is what the devices controller lets through. The list is explicit and shorter than libcontainer's own, which
// adds 10:200 (tun). Nodes of any device may be made, since archives hold them; opening one is what is refused.
func deviceRules(s container.Security, extra []*devices.Device) ([]*devices.Rule, error) {
	all := devices.Rule{Type: devices.WildcardDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Permissions: "rwm", Allow: s.Privileged}
	if s.Privileged {
		return []*devices.Rule{&all}, nil
	}
	anyBlock := charRule(devices.Wildcard, devices.Wildcard, "m")
	anyBlock.Type = devices.BlockDevice
	rules := []devices.Rule{all, charRule(devices.Wildcard, devices.Wildcard, "m"), anyBlock}
	for _, d := range defaultDevices {
		rules = append(rules, d.Rule)
	}
	rules = append(rules,
		charRule(5, 1, "rwm"),                  // console
		charRule(5, 2, "rwm"),                  // ptmx
		charRule(136, devices.Wildcard, "rwm")) // pts
	for _, d := range extra {
		rules = append(rules, d.Rule)
	}
	for _, text := range s.DeviceRules {
		rule, err := cgroupRule(text)
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	out := make([]*devices.Rule, len(rules))
	for i := range rules {
		out[i] = &rules[i]
	}
	return out, nil
}

// cgroupRule translates one --device-cgroup-rule, such as "c 10:200 rwm", whose form has been checked.
func cgroupRule(text string) (devices.Rule, error) {
	fields := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ':' })
	if len(fields) != 4 || len(fields[0]) != 1 {
		return devices.Rule{}, fmt.Errorf("invalid device cgroup format '%s'", text)
	}
	rule := devices.Rule{Type: devices.Type(fields[0][0]), Permissions: devices.Permissions(fields[3]), Allow: true}
	for i, to := range []*int64{&rule.Major, &rule.Minor} {
		if *to = devices.Wildcard; fields[1+i] == "*" {
			continue
		}
		n, err := strconv.ParseInt(fields[1+i], 10, 32)
		if err != nil {
			return devices.Rule{}, fmt.Errorf("invalid device cgroup format '%s'", text)
		}
		*to = n
	}
	return rule, nil
}

// deviceNodes are the nodes made in /dev. A node that was asked for replaces the default of the same name.
func deviceNodes(extra []*devices.Device) []*devices.Device {
	taken := map[string]bool{}
	for _, d := range extra {
		taken[d.Path] = true
	}
	var out []*devices.Device
	for _, d := range defaultDevices {
		if !taken[d.Path] {
			out = append(out, d)
		}
	}
	return append(out, extra...)
}

// resolveDevices looks up the nodes that --device and --privileged name on the host.
func resolveDevices(s container.Security) ([]*devices.Device, error) {
	if s.Privileged {
		found, err := sysdevices.HostDevices()
		if err != nil {
			return nil, fmt.Errorf("list the host's devices: %w", err)
		}
		for _, d := range found {
			d.Allow = true
		}
		// The terminal's own nodes are made anew in each container.
		return slices.DeleteFunc(found, func(d *devices.Device) bool {
			return d.Path == "/dev/ptmx" || d.Path == "/dev/console" || strings.HasPrefix(d.Path, "/dev/pts/")
		}), nil
	}
	var out []*devices.Device
	for _, asked := range s.Devices {
		found, err := resolveDevice(asked)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// resolveDevice looks up one --device: a node, or a folder whose nodes are all meant.
func resolveDevice(asked container.Device) ([]*devices.Device, error) {
	target := filepath.Clean(cmp.Or(asked.Target, asked.Source))
	if !filepath.IsAbs(target) {
		return nil, fmt.Errorf("device target %q is no absolute path", asked.Target)
	}
	if strings.Trim(asked.Permissions, "rwm") != "" {
		return nil, fmt.Errorf("invalid device permissions %q: want a set of r, w, m", asked.Permissions)
	}
	source, err := filepath.EvalSymlinks(asked.Source)
	if p, ok := errors.AsType[*os.PathError](err); ok {
		err = p.Err // the path is in what we say
	}
	if err != nil {
		return nil, fmt.Errorf("find device %q: %w", asked.Source, err)
	}
	info, err := os.Stat(source)
	if err != nil {
		return nil, fmt.Errorf("look at device %q: %w", asked.Source, err)
	}
	var found []*devices.Device
	if info.IsDir() {
		found, err = sysdevices.GetDevices(source)
	} else {
		var d *devices.Device
		d, err = sysdevices.DeviceFromPath(source, "rwm")
		found = []*devices.Device{d}
	}
	if err != nil {
		return nil, fmt.Errorf("read device %q: %w", asked.Source, err)
	}
	for _, d := range found {
		d.Path, d.Allow = target+strings.TrimPrefix(d.Path, source), true
		d.Permissions = devices.Permissions(cmp.Or(asked.Permissions, "rwm"))
	}
	return found, nil
}
