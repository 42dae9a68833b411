package options

import (
	"cmp"
	"errors"
	"fmt"
	"math/big"
	"path"
	"regexp"
	"strconv"
	"strings"
	"text/template"

	"github.com/docker/go-units"

	"ctr/runtime/container"
)

// Bytes parses a size such as 512m or 1g; the units are powers of 1024.
func Bytes(s, flag string) (int64, error) {
	n, err := units.RAMInBytes(s)
	if err != nil || n < 0 {
		return 0, Invalid(s, flag, fmt.Errorf("invalid size: '%s'", s))
	}
	return n, nil
}

// MinMemory is the least memory limit, as in Docker.
const MinMemory = 6 << 20

// Memory parses -m.
func Memory(s string) (int64, error) {
	n, err := Bytes(s, "-m, --memory")
	if err == nil && n > 0 && n < MinMemory {
		return 0, errors.New("minimum memory limit allowed is 6MB")
	}
	return n, err
}

// MemorySwap parses --memory-swap: a size, or -1.
func MemorySwap(s string) (int64, error) {
	if s == "-1" {
		return -1, nil
	}
	return Bytes(s, "--memory-swap")
}

// maxCPUs keeps the product below what an int64 holds.
const maxCPUs = 1 << 20

// CPUs parses --cpus into billionths of a CPU.
func CPUs(s string) (int64, error) {
	// big.Rat takes exponents of any size and would fill the memory with their digits.
	cpus, ok := new(big.Rat), len(s) <= 32 && !strings.ContainsAny(s, "eEpPxX")
	if ok {
		_, ok = cpus.SetString(s)
	}
	if !ok {
		return 0, Invalid(s, "--cpus", fmt.Errorf("failed to parse %s as a rational number", s))
	}
	nano := cpus.Mul(cpus, big.NewRat(1e9, 1))
	if !nano.IsInt() {
		return 0, Invalid(s, "--cpus", errors.New("value is too precise"))
	}
	if nano.Sign() < 0 || nano.Cmp(big.NewRat(maxCPUs*1e9, 1)) > 0 {
		return 0, Invalid(s, "--cpus", errors.New("value is out of range"))
	}
	return nano.Num().Int64(), nil
}

// Ulimit parses one --ulimit: TYPE=SOFT[:HARD].
func Ulimit(s string) (container.Ulimit, error) {
	u, err := units.ParseUlimit(s)
	if err != nil {
		return container.Ulimit{}, Invalid(s, "--ulimit", err)
	}
	return container.Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard}, nil
}

// RestartPolicy parses --restart.
func RestartPolicy(s string) (container.RestartPolicy, error) {
	var p container.RestartPolicy
	if s == "" {
		return p, nil
	}
	name, count, counted := strings.Cut(s, ":")
	if counted && name == "" {
		return p, errors.New("invalid restart policy format: no policy provided before colon")
	}
	if count != "" {
		n, err := strconv.Atoi(count)
		if err != nil {
			return p, errors.New("invalid restart policy format: maximum retry count must be an integer")
		}
		p.MaxRetries = n
	}
	p.Name = name
	switch name {
	case "no", "always", "unless-stopped":
		if p.MaxRetries != 0 {
			msg := "invalid restart policy: maximum retry count can only be used with 'on-failure'"
			if p.MaxRetries < 0 {
				msg += " and cannot be negative"
			}
			return p, errors.New(msg)
		}
	case "on-failure":
		if p.MaxRetries < 0 {
			return p, errors.New("invalid restart policy: maximum retry count cannot be negative")
		}
	default:
		return p, fmt.Errorf("invalid restart policy: unknown policy '%s'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'", name)
	}
	return p, nil
}

// Log parses --log-driver and --log-opt.
func Log(driver string, opts []string) (container.Log, error) {
	l := container.Log{Driver: driver}
	switch driver {
	case "", "json-file", "journald":
	case "local":
		l.Driver = "json-file"
	case "none":
		if len(opts) > 0 {
			return l, errors.New("invalid logging opts for driver none")
		}
	default:
		return l, fmt.Errorf("logger: no log driver named '%s' is registered", driver)
	}
	for _, opt := range opts {
		key, value, _ := strings.Cut(opt, "=")
		if l.Options == nil {
			l.Options = map[string]string{}
		}
		l.Options[key] = value
		var err error
		switch key {
		case "max-size":
			if l.MaxSize, err = units.FromHumanSize(value); err != nil || l.MaxSize <= 0 {
				return l, fmt.Errorf("invalid value for max-size: %q", value)
			}
		case "max-file":
			if l.MaxFile, err = strconv.Atoi(value); err != nil || l.MaxFile < 1 || l.MaxFile > 1000 {
				return l, fmt.Errorf("invalid value for max-file: %q: want 1 to 1000", value)
			}
		case "labels-regex", "env-regex":
			if _, err := regexp.Compile(value); err != nil {
				return l, fmt.Errorf("invalid value for %s: %w", key, err)
			}
		case "tag":
			if _, err := template.New("").Parse(value); err != nil {
				return l, fmt.Errorf("invalid value for tag: %w", err)
			}
		case "labels", "env":
		case "mode", "max-buffer-size", "compress":
			// Taken, for commands written for Docker; a log here is complete and plain.
		default:
			return l, fmt.Errorf("unknown log opt '%s' for %s log driver", key, cmp.Or(driver, "json-file"))
		}
	}
	return l, nil
}

// CgroupParent parses --cgroup-parent: a path from the root of the hierarchies on, or one below the installation's own cgroup.
func CgroupParent(s string) (string, error) {
	const flag = "--cgroup-parent"
	if s == "" {
		return "", nil
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", Invalid(s, flag, errors.New("a control character in a path"))
	}
	if strings.HasSuffix(s, ".slice") && !strings.Contains(s, "/") {
		return "", Invalid(s, flag, fmt.Errorf("ctr asks no systemd for a slice: give the path of its cgroup, such as /%s", s))
	}
	for name := range strings.SplitSeq(s, "/") {
		switch {
		case name == "." || name == "..":
			return "", Invalid(s, flag, fmt.Errorf("%q in a path", name))
		case len(name) > 255:
			return "", Invalid(s, flag, errors.New("a name in the path is too long"))
		case container.ReservedCgroup(name):
			return "", Invalid(s, flag, fmt.Errorf("the name %q is ctr's own", name))
		case strings.HasPrefix(name, "cgroup.") || name == "tasks":
			return "", Invalid(s, flag, fmt.Errorf("the name %q is the kernel's own", name))
		}
	}
	return path.Clean(s), nil
}

// Throttle parses one --device-read-bps and the like: DEVICE:RATE, where bytes have a unit, and operations and weights have none.
func Throttle(kind container.ThrottleKind, s string) (container.Throttle, error) {
	t := container.Throttle{Kind: kind}
	device, rate, ok := strings.Cut(s, ":")
	if !ok || strings.Contains(rate, ":") {
		return t, fmt.Errorf("bad format: %s", s)
	}
	if !strings.HasPrefix(device, "/dev/") {
		return t, fmt.Errorf("bad format for device path: %s", s)
	}
	t.Device = path.Clean(device)
	if kind == container.IOWeight {
		n, err := strconv.ParseUint(rate, 10, 16)
		if err != nil || n != 0 && (n < 10 || n > 1000) {
			return t, fmt.Errorf("invalid weight for device: %s", s)
		}
		t.Rate = n
		return t, nil
	}
	if kind == container.ReadCalls || kind == container.WriteCalls {
		n, err := strconv.ParseUint(rate, 10, 64)
		if err != nil {
			return t, fmt.Errorf("invalid rate for device: %s. The correct format is <device-path>:<number>. Number must be a positive integer", s)
		}
		t.Rate = n
		return t, nil
	}
	n, err := units.RAMInBytes(rate)
	if err != nil || n < 0 {
		return t, fmt.Errorf("invalid rate for device: %s. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb", s)
	}
	t.Rate = uint64(n)
	return t, nil
}

var deviceRule = lazy(`^[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}$`)

// DeviceRule checks one --device-cgroup-rule.
func DeviceRule(s string) error {
	if !deviceRule().MatchString(s) {
		return fmt.Errorf("invalid device cgroup format '%s'", s)
	}
	return nil
}
