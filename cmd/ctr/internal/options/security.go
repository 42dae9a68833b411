package options

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ctr/runtime/container"
	"ctr/runtime/userns"
)

// maxProfile bounds a seccomp profile, in bytes.
const maxProfile = 4 << 20

// SecurityOpt applies one --security-opt. The file of seccomp=FILE is read here.
func SecurityOpt(s *container.Security, opt string) error {
	key, value, ok := strings.Cut(opt, "=")
	if !ok {
		key, value, ok = strings.Cut(opt, ":")
	}
	if !ok && key != "no-new-privileges" {
		return fmt.Errorf("Invalid --security-opt: %q", opt)
	}
	switch key {
	case "no-new-privileges":
		s.NoNewPrivileges = true
		if ok {
			on, err := strconv.ParseBool(value)
			if err != nil {
				return fmt.Errorf("invalid --security-opt: %q", opt)
			}
			s.NoNewPrivileges = on
		}
	case "seccomp":
		if value == "unconfined" {
			s.Seccomp = value
			return nil
		}
		if value == "builtin" {
			s.Seccomp = ""
			return nil
		}
		profile, err := readProfile(value)
		if err != nil {
			return err
		}
		s.Seccomp = profile
	case "apparmor":
		s.AppArmor = value
	case "systempaths":
		if value != "unconfined" {
			return fmt.Errorf("invalid --security-opt: %q", opt)
		}
		s.SystemPaths = value
	case "label":
		// SELinux labels: nothing here labels anything, and "disable" is what there is.
		if value != "disable" {
			return fmt.Errorf("SELinux labels are not supported: %q", opt)
		}
	default:
		return fmt.Errorf("invalid --security-opt: %q", opt)
	}
	return nil
}

func readProfile(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("opening seccomp profile (%s) failed: %w", file, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxProfile))
	if err != nil {
		return "", fmt.Errorf("opening seccomp profile (%s) failed: %w", file, err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return "", fmt.Errorf("compacting json for seccomp profile (%s) failed: %w", file, err)
	}
	return compact.String(), nil
}

// Device parses one --device: SOURCE[:TARGET][:PERMISSIONS]. A source that ends in * is all that matches.
func Device(spec string) ([]container.Device, error) {
	parts := strings.Split(spec, ":")
	if len(parts) > 3 || parts[0] == "" || strings.ContainsRune(spec, 0) {
		return nil, fmt.Errorf("bad format for path: %s", spec)
	}
	d := container.Device{Source: path.Clean(parts[0]), Permissions: "rwm"}
	switch {
	case len(parts) == 3:
		if !devicePermissions(parts[2]) {
			return nil, fmt.Errorf("bad mode specified: %s", parts[2])
		}
		d.Target, d.Permissions = parts[1], parts[2]
	case len(parts) == 2 && devicePermissions(parts[1]):
		d.Permissions = parts[1]
	case len(parts) == 2:
		d.Target = parts[1]
	}
	if !path.IsAbs(d.Source) {
		return nil, fmt.Errorf("%s is not an absolute path", d.Source)
	}
	if strings.HasSuffix(d.Source, "*") {
		if d.Target != "" {
			return nil, fmt.Errorf("device with * suffix can't have dst: %s", spec)
		}
		matches, err := filepath.Glob(d.Source)
		if err != nil {
			return nil, fmt.Errorf("bad format for path: %s", spec)
		}
		var all []container.Device
		for _, m := range matches {
			all = append(all, container.Device{Source: m, Target: m, Permissions: d.Permissions})
		}
		return all, nil
	}
	if d.Target == "" {
		d.Target = d.Source
	}
	if !path.IsAbs(d.Target) {
		return nil, fmt.Errorf("%s is not an absolute path", d.Target)
	}
	d.Target = path.Clean(d.Target)
	return []container.Device{d}, nil
}

// devicePermissions tells whether s is made of r, w and m, each at most once.
func devicePermissions(s string) bool {
	for _, r := range s {
		if !strings.ContainsRune("rwm", r) || strings.Count(s, string(r)) > 1 {
			return false
		}
	}
	return s != ""
}

var (
	sysctlNames    = []string{"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced", "kernel.domainname"}
	sysctlPrefixes = []string{"net.", "fs.mqueue."}
)

// Sysctl parses one --sysctl. Only what the kernel keeps per namespace is allowed.
func Sysctl(s string) (name, value string, err error) {
	name, value, ok := strings.Cut(s, "=")
	name = strings.TrimSpace(name)
	known := slices.Contains(sysctlNames, name) ||
		slices.ContainsFunc(sysctlPrefixes, func(p string) bool { return strings.HasPrefix(name, p) && len(name) > len(p) })
	if !ok || !known || strings.ContainsAny(name, "/ \x00") || strings.Contains(name, "..") || strings.ContainsRune(value, 0) {
		return "", "", Invalid(s, "--sysctl", fmt.Errorf("sysctl '%s' is not allowed", s))
	}
	return name, value, nil
}

// Capability checks one --cap-add or --cap-drop, and returns it as CAP_NAME in upper case, or ALL. Whether the kernel knows
// the name is for whoever applies it to say.
func Capability(s string) (string, error) {
	name := strings.ToUpper(strings.TrimSpace(s))
	if name == "ALL" || name == "CAP_ALL" {
		return "ALL", nil
	}
	if !strings.HasPrefix(name, "CAP_") {
		name = "CAP_" + name
	}
	if len(name) == len("CAP_") || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
		return "", fmt.Errorf("invalid capability: %q", s)
	}
	return name, nil
}

// User checks the form of a --user: NAME|UID[:GROUP|GID].
func User(s string) error {
	if strings.Count(s, ":") > 1 || strings.ContainsAny(s, "\x00\n") || strings.HasPrefix(s, ":") {
		return errors.New("invalid user: " + strconv.Quote(s))
	}
	return nil
}

// UserNS checks the form of a --userns: host, container:NAME, or a range of IDs as package userns has them.
func UserNS(s string) (container.Mode, error) {
	mode := container.Mode(s)
	if name, ok := mode.Container(); mode == container.ModePrivate || mode == container.ModeHost || ok && name != "" {
		return mode, nil
	}
	if err := userns.Check(s); err != nil {
		return "", fmt.Errorf("--userns: %w", err)
	}
	return mode, nil
}
