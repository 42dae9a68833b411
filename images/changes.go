package images

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// change applies one instruction of --change, written as in a Dockerfile, to a configuration.
func change(c *Config, line string) error {
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	word, rest = strings.ToUpper(word), strings.TrimSpace(rest)
	apply, ok := instructions[word]
	if !ok {
		if word == "" {
			return errors.New("a change without an instruction")
		}
		return fmt.Errorf("%s is not a valid change command", clip(word))
	}
	if rest == "" {
		return fmt.Errorf("%s requires at least one argument", word)
	}
	if strings.ContainsAny(line, "\x00\n") {
		return fmt.Errorf("%s: %q: an instruction is one line", word, clip(line))
	}
	if err := apply(&c.Config, rest); err != nil {
		return fmt.Errorf("%s: %w", word, err)
	}
	return nil
}

var instructions = map[string]func(*dockerspec.DockerOCIImageConfig, string) error{
	"CMD": func(c *dockerspec.DockerOCIImageConfig, s string) error {
		c.Cmd = argv(s)
		return nil
	},
	"ENTRYPOINT": func(c *dockerspec.DockerOCIImageConfig, s string) error {
		c.Entrypoint = argv(s)
		return nil
	},
	"ENV":         setEnv,
	"EXPOSE":      setExposed,
	"HEALTHCHECK": setHealthcheck,
	"LABEL":       setLabels,
	"ONBUILD": func(c *dockerspec.DockerOCIImageConfig, s string) error {
		c.OnBuild = append(c.OnBuild, s)
		return nil
	},
	"STOPSIGNAL": func(c *dockerspec.DockerOCIImageConfig, s string) error {
		c.StopSignal = s
		return nil
	},
	"USER": func(c *dockerspec.DockerOCIImageConfig, s string) error {
		c.User = s
		return nil
	},
	"VOLUME": setVolumes,
	"WORKDIR": func(c *dockerspec.DockerOCIImageConfig, s string) error {
		c.WorkingDir = path.Join("/", c.WorkingDir, s)
		if path.IsAbs(s) {
			c.WorkingDir = path.Clean(s)
		}
		return nil
	},
}

// jsonArgv reads ["a", "b"]. Anything else is not JSON form, and then it is the shell's.
func jsonArgv(s string) ([]string, bool) {
	if !strings.HasPrefix(s, "[") {
		return nil, false
	}
	args := []string{}
	err := json.Unmarshal([]byte(s), &args)
	return args, err == nil
}

func argv(s string) []string {
	if args, ok := jsonArgv(s); ok {
		return args
	}
	return []string{"/bin/sh", "-c", s}
}

// words splits s at white space, as a Dockerfile does: quotes keep words together, a backslash keeps the next character.
func words(s string) ([]string, error) {
	var (
		all   []string
		word  strings.Builder
		quote rune
		in    bool
	)
	for rest := []rune(s); len(rest) > 0; rest = rest[1:] {
		r := rest[0]
		switch {
		case r == '\\' && quote != '\'' && len(rest) > 1:
			rest = rest[1:]
			word.WriteRune(rest[0])
			in = true
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, in = r, true
		case quote == 0 && (r == ' ' || r == '\t'):
			if in {
				all = append(all, word.String())
			}
			word.Reset()
			in = false
		default:
			word.WriteRune(r)
			in = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("%q: quote that does not end", clip(s))
	}
	if in {
		all = append(all, word.String())
	}
	return all, nil
}

// pairs reads NAME=value..., or the old form NAME value.
func pairs(s string) ([][2]string, error) {
	if name, value, ok := strings.Cut(s, " "); ok && !strings.Contains(name, "=") {
		return [][2]string{{name, strings.TrimSpace(value)}}, nil
	}
	all, err := words(s)
	if err != nil {
		return nil, err
	}
	var out [][2]string
	for _, w := range all {
		name, value, ok := strings.Cut(w, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%q: want NAME=VALUE", clip(w))
		}
		out = append(out, [2]string{name, value})
	}
	return out, nil
}

func setEnv(c *dockerspec.DockerOCIImageConfig, s string) error {
	all, err := pairs(s)
	for _, p := range all {
		set := false
		for i, e := range c.Env {
			if strings.HasPrefix(e, p[0]+"=") {
				c.Env[i], set = p[0]+"="+p[1], true
			}
		}
		if !set {
			c.Env = append(c.Env, p[0]+"="+p[1])
		}
	}
	return err
}

func setLabels(c *dockerspec.DockerOCIImageConfig, s string) error {
	all, err := pairs(s)
	if c.Labels == nil {
		c.Labels = make(map[string]string)
	}
	for _, p := range all {
		c.Labels[p[0]] = p[1]
	}
	return err
}

func setVolumes(c *dockerspec.DockerOCIImageConfig, s string) error {
	paths, ok := jsonArgv(s)
	if !ok {
		paths = strings.Fields(s)
	}
	if c.Volumes == nil {
		c.Volumes = make(map[string]struct{})
	}
	for _, p := range paths {
		if p == "" {
			return fmt.Errorf("%q: a volume's path cannot be empty", clip(s))
		}
		c.Volumes[p] = struct{}{}
	}
	return nil
}

// setExposed reads PORT[-PORT][/PROTOCOL]...
func setExposed(c *dockerspec.DockerOCIImageConfig, s string) error {
	if c.ExposedPorts == nil {
		c.ExposedPorts = make(map[string]struct{})
	}
	for w := range strings.FieldsSeq(s) {
		ports, protocol, ok := strings.Cut(strings.ToLower(w), "/")
		if !ok {
			protocol = "tcp"
		}
		if protocol != "tcp" && protocol != "udp" && protocol != "sctp" {
			return fmt.Errorf("%q: unknown protocol", clip(w))
		}
		first, last, isRange := strings.Cut(ports, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil || from == 0 || to < from {
			return fmt.Errorf("%q: invalid port", clip(w))
		}
		for p := from; p <= to; p++ {
			c.ExposedPorts[strconv.FormatUint(p, 10)+"/"+protocol] = struct{}{}
		}
	}
	return nil
}

// setHealthcheck reads NONE, or [--interval=D] [--timeout=D] [--start-period=D] [--start-interval=D] [--retries=N] CMD command.
func setHealthcheck(c *dockerspec.DockerOCIImageConfig, s string) error {
	h := &dockerspec.HealthcheckConfig{}
	for strings.HasPrefix(s, "--") {
		var flag string
		flag, s, _ = strings.Cut(s, " ")
		s = strings.TrimSpace(s)
		if err := setHealthFlag(h, flag); err != nil {
			return err
		}
	}
	kind, command, _ := strings.Cut(s, " ")
	command = strings.TrimSpace(command)
	switch kind = strings.ToUpper(kind); {
	case kind == "NONE" && command == "":
		h.Test = []string{"NONE"}
	case kind == "CMD" && command != "":
		if args, ok := jsonArgv(command); ok {
			h.Test = append([]string{"CMD"}, args...)
		} else {
			h.Test = []string{"CMD-SHELL", command}
		}
	default:
		return fmt.Errorf("%q: want NONE or CMD command", clip(s))
	}
	c.Healthcheck = h
	return nil
}

func setHealthFlag(h *dockerspec.HealthcheckConfig, flag string) error {
	name, value, _ := strings.Cut(flag, "=")
	if name == "--retries" {
		n, err := strconv.ParseUint(value, 10, 31)
		h.Retries = int(n)
		return err
	}
	durations := map[string]*time.Duration{
		"--interval": &h.Interval, "--timeout": &h.Timeout, "--start-period": &h.StartPeriod, "--start-interval": &h.StartInterval,
	}
	field, ok := durations[name]
	if !ok {
		return fmt.Errorf("unknown flag %q", clip(name))
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if d < time.Millisecond && d != 0 {
		return fmt.Errorf("%s: %s is less than 1ms", name, d)
	}
	*field = d
	return nil
}
