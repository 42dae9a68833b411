package options

import (
	"encoding/csv"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"

	"ctr/runtime/container"
)

var propagations = []string{"private", "rprivate", "shared", "rshared", "slave", "rslave"}

// Volume parses one -v: [SOURCE:]TARGET[:MODE]. A source that is no path is a volume's name; one that begins with a dot is
// relative to the working directory.
func Volume(spec string) (container.Mount, error) {
	m := container.Mount{Type: container.MountVolume, CreateSource: true}
	var mode string
	parts := strings.Split(spec, ":")
	switch {
	case len(parts) == 1:
		m.Target, m.Anonymous = parts[0], true
	case len(parts) == 2 && !validMode(parts[1]):
		m.Source, m.Target = parts[0], parts[1]
	case len(parts) == 3:
		m.Source, m.Target, mode = parts[0], parts[1], parts[2]
	default:
		return m, fmt.Errorf("invalid volume specification: '%s'", spec)
	}
	if len(parts) > 1 && m.Source == "" {
		return m, fmt.Errorf("invalid volume specification: '%s'", spec)
	}
	if mode != "" && !validMode(mode) || len(parts) == 3 && mode == "" {
		return m, fmt.Errorf("invalid mode: %s", mode)
	}
	m.Source = absolute(m.Source)
	if path.IsAbs(m.Source) {
		m.Type, m.Source = container.MountBind, path.Clean(m.Source)
	}
	for word := range strings.SplitSeq(mode, ",") {
		switch {
		case word == "ro":
			m.ReadOnly = true
		case word == "nocopy":
			m.NoCopy = true
		case slices.Contains(propagations, word):
			m.Propagation = word
		}
	}
	return m, checkMount(&m, spec)
}

// absolute makes ".", "./x" and "../x" absolute, as the docker command does; any other name stays a volume's.
func absolute(source string) string {
	if source == "." || source == ".." || strings.HasPrefix(source, "./") || strings.HasPrefix(source, "../") {
		if abs, err := filepath.Abs(source); err == nil {
			return abs
		}
	}
	return source
}

// validMode tells whether all words of a -v's third part are known, each kind at most once. SELinux labels (z, Z) and the
// consistency words of macOS are taken and mean nothing here.
func validMode(mode string) bool {
	if mode == "" {
		return false
	}
	var access, propagation, label, copying, consistency int
	for word := range strings.SplitSeq(mode, ",") {
		switch {
		case word == "ro" || word == "rw":
			access++
		case slices.Contains(propagations, word):
			propagation++
		case word == "z" || word == "Z":
			label++
		case word == "nocopy":
			copying++
		case word == "consistent" || word == "cached" || word == "delegated" || word == "default":
			consistency++
		default:
			return false
		}
	}
	return max(access, propagation, label, copying, consistency) <= 1
}

var volumeName = lazy(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// checkMount checks what all ways to ask for a mount have in common, and cleans the paths.
func checkMount(m *container.Mount, spec string) error {
	if strings.ContainsRune(spec, 0) {
		return fmt.Errorf("invalid volume specification: %q", spec)
	}
	if !path.IsAbs(m.Target) {
		return fmt.Errorf("invalid mount path: '%s' mount path must be absolute", m.Target)
	}
	if m.Target = path.Clean(m.Target); m.Target == "/" {
		return fmt.Errorf("invalid volume specification: '%s': invalid mount config for type \"%s\": invalid specification: destination can't be '/'", spec, m.Type)
	}
	if m.Type != container.MountBind && m.Propagation != "" {
		return fmt.Errorf("invalid mount config for type %q: propagation is for bind mounts only", m.Type)
	}
	if m.Type == container.MountVolume && m.Source != "" && !volumeName().MatchString(m.Source) {
		return fmt.Errorf("%q includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. "+
			"If you intended to pass a host directory, use absolute path", m.Source)
	}
	return nil
}

// Tmpfs parses one --tmpfs: TARGET[:OPTIONS].
func Tmpfs(spec string) (container.Mount, error) {
	target, options, _ := strings.Cut(spec, ":")
	m := container.Mount{Type: container.MountTmpfs, Target: target, CreateSource: true}
	if options != "" {
		m.Options = strings.Split(options, ",")
	}
	for _, o := range m.Options {
		if !validTmpfsOption(o) {
			return m, fmt.Errorf("invalid tmpfs option [%q]", o)
		}
	}
	return m, checkMount(&m, spec)
}

var (
	tmpfsFlags = []string{
		"ro", "rw", "exec", "noexec", "suid", "nosuid", "dev", "nodev", "sync", "async", "dirsync", "remount", "mand", "nomand",
		"atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime", "defaults",
		"private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable", "bind", "rbind",
	}
	tmpfsKeys = []string{"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"}
)

func validTmpfsOption(o string) bool {
	key, value, ok := strings.Cut(o, "=")
	if ok {
		return slices.Contains(tmpfsKeys, key) && value != "" && !strings.ContainsRune(value, 0)
	}
	return slices.Contains(tmpfsFlags, key)
}

// Mount parses one --mount: comma-separated key=value pairs.
func Mount(spec string) (container.Mount, error) {
	m := container.Mount{Type: container.MountVolume}
	fields, err := csv.NewReader(strings.NewReader(spec)).Read()
	if err != nil {
		return m, fmt.Errorf("invalid mount %q: %w", spec, err)
	}
	used := map[string]bool{} // the types that options were given for
	forced := false           // bind-recursive=readonly
	for _, field := range fields {
		key, value, ok := strings.Cut(strings.TrimSpace(field), "=")
		if !ok {
			switch key {
			case "readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src":
				value = "true"
			default:
				return m, fmt.Errorf("invalid field '%s' must be a key=value pair", field)
			}
		}
		if kind, _, ok := strings.Cut(key, "-"); ok {
			used[kind] = true
		}
		if err := mountField(&m, key, value, field); err != nil {
			return m, err
		}
		forced = forced || key == "bind-recursive" && value == "readonly"
	}
	if m.Target == "" {
		return m, errors.New("target is required")
	}
	if forced && !m.ReadOnly {
		return m, errors.New("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction")
	}
	if forced && m.Propagation != "rprivate" {
		return m, errors.New("option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction")
	}
	for _, kind := range []string{"bind", "volume", "tmpfs"} {
		if used[kind] && string(m.Type) != kind {
			return m, fmt.Errorf("cannot mix '%s-*' options with mount type '%s'", kind, m.Type)
		}
	}
	return m, checkKind(&m, spec)
}

// mountField sets one field of a --mount.
func mountField(m *container.Mount, key, value, field string) (err error) {
	flag := func() bool {
		var on bool
		if on, err = strconv.ParseBool(value); err != nil {
			err = fmt.Errorf("invalid value for %s: %s", key, value)
		}
		return on
	}
	switch key {
	case "type":
		m.Type = container.MountType(strings.ToLower(value))
	case "source", "src":
		m.Source = absolute(value)
	case "target", "dst", "destination":
		m.Target = value
	case "readonly", "ro":
		m.ReadOnly = flag()
	case "consistency":
	case "bind-propagation":
		m.Propagation = strings.ToLower(value)
		if !slices.Contains(propagations, m.Propagation) {
			return fmt.Errorf("invalid value for %s: %s", key, value)
		}
	case "bind-nonrecursive":
		m.NonRecursive = flag()
	case "bind-recursive":
		switch value {
		case "enabled", "readonly": // all that is below is read-only if the mount is
		case "disabled":
			m.NonRecursive = true
		case "writable":
			m.WritableBelow = true
		default:
			return fmt.Errorf("invalid value for %s: %s (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")", key, value)
		}
	case "bind-create-src":
		m.CreateSource = flag()
	case "volume-nocopy":
		m.NoCopy = flag()
	case "volume-driver":
		if value != "" && value != "local" {
			return fmt.Errorf("volume driver %q is not supported: only local", value)
		}
	case "volume-subpath":
		if m.Subpath = value; !filepath.IsLocal(value) {
			return errors.New("subpath must be a relative path within the volume")
		}
	case "volume-label":
		name, text, _ := strings.Cut(value, "=")
		if m.VolumeLabels == nil {
			m.VolumeLabels = map[string]string{}
		}
		m.VolumeLabels[name] = text
	case "volume-opt":
		name, text, _ := strings.Cut(value, "=")
		if m.VolumeOptions == nil {
			m.VolumeOptions = map[string]string{}
		}
		m.VolumeOptions[name] = text
	case "tmpfs-options", "image-subpath":
		return fmt.Errorf("%s is not supported", key)
	case "tmpfs-size":
		size, err := units.RAMInBytes(value)
		if err != nil || size < 0 {
			return fmt.Errorf("invalid value for %s: %s", key, value)
		}
		m.Options = append(m.Options, "size="+strconv.FormatInt(size, 10))
	case "tmpfs-mode":
		mode, err := strconv.ParseUint(value, 8, 12)
		if err != nil {
			return fmt.Errorf("invalid value for %s: %s", key, value)
		}
		m.Options = append(m.Options, "mode="+strconv.FormatUint(mode, 8))
	default:
		return fmt.Errorf("unexpected key '%s' in '%s'", key, field)
	}
	return err
}

// checkKind checks what a --mount of its type must and must not have.
func checkKind(m *container.Mount, spec string) error {
	switch m.Type {
	case container.MountBind:
		if m.Source == "" {
			return errors.New(`invalid mount config for type "bind": field Source must not be empty`)
		}
		if !path.IsAbs(m.Source) {
			return fmt.Errorf("invalid mount config for type \"bind\": invalid mount path: '%s' mount path must be absolute", m.Source)
		}
		m.Source = path.Clean(m.Source)
	case container.MountVolume:
		m.Anonymous = m.Source == ""
	case container.MountTmpfs:
		if m.Source != "" {
			return errors.New(`invalid mount config for type "tmpfs": field Source must not be specified`)
		}
		if m.ReadOnly {
			m.Options = append(m.Options, "ro")
		}
	default:
		return fmt.Errorf("invalid mount config: mount type unknown: %q", m.Type)
	}
	return checkMount(m, spec)
}

// UniqueTargets refuses two mounts at one place.
func UniqueTargets(mounts []container.Mount) error {
	seen := map[string]bool{}
	for _, m := range mounts {
		if seen[m.Target] {
			return errors.New("Duplicate mount point: " + m.Target)
		}
		seen[m.Target] = true
	}
	return nil
}
