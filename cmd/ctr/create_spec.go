package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"ctr/cmd/ctr/internal/options"
	"ctr/runtime/container"
	"ctr/runtime/lifecycle"
)

// createOptions are what the flags of `create` and `run` say.
type createOptions struct {
	spec     container.Spec
	pull     lifecycle.Pull
	platform string
	cidFile  string
	quiet    bool

	volumesFrom []string
}

// parseCreate reads the flags of createFlags and the arguments. lookup finds the caller's own variables.
func parseCreate(c *cli.Context, lookup options.Lookup) (o createOptions, err error) {
	args := c.Args().Slice()
	s := &o.spec
	if !c.IsSet("rootfs") {
		s.Image.Ref, args = args[0], args[1:]
	} else if s.Rootfs.Dir, err = absoluteDir(c.String("rootfs")); err != nil {
		return o, err
	}
	s.Cmd = args
	if err := checkTrust(c); err != nil {
		return o, err
	}
	o.platform, o.cidFile, o.quiet = c.String("platform"), c.String("cidfile"), c.Bool("quiet")
	o.volumesFrom = c.StringSlice("volumes-from")
	o.pull = lifecycle.Pull(c.String("pull"))
	if !slices.Contains([]lifecycle.Pull{lifecycle.PullAlways, lifecycle.PullMissing, lifecycle.PullNever}, o.pull) {
		return o, fmt.Errorf("invalid pull option: '%s': must be one of \"always\", \"missing\" or \"never\"", o.pull)
	}
	for _, part := range []func(*cli.Context, *container.Spec) error{
		specIdentity,
		func(c *cli.Context, s *container.Spec) error { return specProcess(c, s, lookup) },
		specStreams, specNamespaces, specNetwork, specMounts, specSecurity, specResources, specHealth,
	} {
		if err := part(c, s); err != nil {
			return o, err
		}
	}
	return o, nil
}

func specIdentity(c *cli.Context, s *container.Spec) (err error) {
	if name := c.String("name"); name != "" {
		if s.Name, err = options.ContainerName(name); err != nil {
			return err
		}
	}
	if s.Labels, err = options.Labels(c.StringSlice("label-file"), c.StringSlice("label")); err != nil {
		return err
	}
	if s.Restart, err = options.RestartPolicy(c.String("restart")); err != nil {
		return err
	}
	s.AutoRemove = c.Bool("rm")
	if s.AutoRemove && s.Restart.Name != "" && s.Restart.Name != "no" {
		return errors.New("conflicting options: cannot specify both --restart and --rm")
	}
	s.Log, err = options.Log(c.String("log-driver"), c.StringSlice("log-opt"))
	return err
}

func specProcess(c *cli.Context, s *container.Spec, lookup options.Lookup) (err error) {
	if c.IsSet("entrypoint") {
		s.Entrypoint = []string{}
		if e := c.String("entrypoint"); e != "" {
			s.Entrypoint = []string{e}
		}
	}
	if s.Env, err = options.Env(c.StringSlice("env-file"), c.StringSlice("env"), lookup); err != nil {
		return err
	}
	s.WorkDir, s.User, s.Groups = c.String("workdir"), c.String("user"), c.StringSlice("group-add")
	if s.WorkDir != "" && !strings.HasPrefix(s.WorkDir, "/") {
		return fmt.Errorf("the working directory '%s' is invalid, it needs to be an absolute path", s.WorkDir)
	}
	if err := options.User(s.User); err != nil {
		return err
	}
	s.Init = c.Bool("init")
	if s.StopSignal = c.String("stop-signal"); s.StopSignal != "" {
		if _, err := lifecycle.ParseSignal(s.StopSignal); err != nil {
			return err
		}
	}
	if c.IsSet("stop-timeout") {
		n, err := intFlag(c, "stop-timeout")
		if err != nil {
			return err
		}
		timeout := int(n)
		s.StopTimeout = &timeout
	}
	return nil
}

// specStreams decides which streams the foreground takes part in.
func specStreams(c *cli.Context, s *container.Spec) error {
	s.TTY, s.OpenStdin = c.Bool("tty"), c.Bool("interactive")
	for _, name := range c.StringSlice("attach") {
		switch strings.ToLower(name) {
		case "stdin":
			s.Attach.Stdin = true
		case "stdout":
			s.Attach.Stdout = true
		case "stderr":
			s.Attach.Stderr = true
		default:
			return options.Invalid(name, "-a, --attach", errors.New("valid streams are STDIN, STDOUT and STDERR"))
		}
	}
	if len(c.StringSlice("attach")) == 0 {
		s.Attach.Stdout, s.Attach.Stderr = true, true
	}
	if s.OpenStdin {
		s.Attach.Stdin = true
	}
	s.StdinOnce = s.OpenStdin && s.Attach.Stdin
	return nil
}

func specNamespaces(c *cli.Context, s *container.Spec) error {
	for _, ns := range []struct {
		flag  string
		mode  *container.Mode
		words []string // besides container:NAME
		what  string
	}{
		{"pid", &s.Namespaces.PID, []string{"host"}, "--pid: invalid PID mode"},
		{"uts", &s.Namespaces.UTS, []string{"host"}, "--uts: invalid UTS mode"},
		{"ipc", &s.Namespaces.IPC, []string{"host", "none", "private", "shareable"}, "--ipc: invalid IPC mode"},
		{"cgroupns", &s.Namespaces.Cgroup, []string{"host", "private"}, "--cgroupns: invalid CGROUP mode"},
	} {
		value := c.String(ns.flag)
		name, joins := container.Mode(value).Container()
		joins = joins && name != "" && (ns.flag == "pid" || ns.flag == "ipc" || ns.flag == "uts")
		switch {
		case value == "":
		case !joins && !slices.Contains(ns.words, value):
			return fmt.Errorf("%s: %q", ns.what, value)
		case value != "private" && value != "shareable":
			*ns.mode = container.Mode(value)
		}
	}
	mode, err := options.UserNS(c.String("userns"))
	s.Namespaces.User = mode
	return err
}

func specMounts(c *cli.Context, s *container.Spec) error {
	for _, kind := range []struct {
		flag, spelled string
		parse         func(string) (container.Mount, error)
	}{{"volume", "", options.Volume}, {"mount", "--mount", options.Mount}, {"tmpfs", "", options.Tmpfs}} {
		seen := map[string]bool{} // the same one twice is one, as in Docker
		for _, text := range c.StringSlice(kind.flag) {
			if seen[text] {
				continue
			}
			seen[text] = true
			m, err := kind.parse(text)
			if err != nil && kind.spelled != "" {
				return options.Invalid(text, kind.spelled, err)
			}
			if err != nil {
				return err
			}
			s.Mounts = append(s.Mounts, m)
		}
	}
	s.Rootfs.ReadOnly = c.Bool("read-only")
	return options.UniqueTargets(s.Mounts)
}

func specSecurity(c *cli.Context, s *container.Spec) error {
	sec := &s.Security
	sec.Privileged = c.Bool("privileged")
	for _, caps := range []struct {
		flag string
		to   *[]string
	}{{"cap-add", &sec.CapAdd}, {"cap-drop", &sec.CapDrop}} {
		for _, text := range c.StringSlice(caps.flag) {
			name, err := options.Capability(text)
			if err != nil {
				return err
			}
			*caps.to = append(*caps.to, name)
		}
	}
	for _, text := range c.StringSlice("security-opt") {
		if err := options.SecurityOpt(sec, text); err != nil {
			return err
		}
	}
	for _, text := range c.StringSlice("sysctl") {
		name, value, err := options.Sysctl(text)
		if err != nil {
			return err
		}
		if sec.Sysctls == nil {
			sec.Sysctls = map[string]string{}
		}
		sec.Sysctls[name] = value
	}
	for _, text := range c.StringSlice("device") {
		devices, err := options.Device(text)
		if err != nil {
			return err
		}
		sec.Devices = append(sec.Devices, devices...)
	}
	for _, text := range c.StringSlice("device-cgroup-rule") {
		if err := options.DeviceRule(text); err != nil {
			return err
		}
		sec.DeviceRules = append(sec.DeviceRules, text)
	}
	return nil
}

func specHealth(c *cli.Context, s *container.Spec) error {
	h := container.HealthCheck{}
	set := c.String("health-cmd") != ""
	if set {
		h.Test = []string{"CMD-SHELL", c.String("health-cmd")}
	}
	for _, d := range []struct {
		flag string
		to   *time.Duration
	}{
		{"health-interval", &h.Interval},
		{"health-timeout", &h.Timeout},
		{"health-start-period", &h.StartPeriod},
		{"health-start-interval", &h.StartInterval},
	} {
		text := c.String(d.flag)
		if text == "" {
			continue
		}
		var err error
		if *d.to, err = time.ParseDuration(text); err != nil {
			return options.Invalid(text, "--"+d.flag, err)
		}
		if *d.to < 0 {
			return fmt.Errorf("--%s cannot be negative", d.flag)
		}
		if *d.to > 0 && *d.to < time.Millisecond {
			return fmt.Errorf("--%s cannot be less than 1ms", d.flag)
		}
		set = true
	}
	if c.IsSet("health-retries") {
		n, err := intFlag(c, "health-retries")
		if err != nil {
			return err
		}
		if n < 0 {
			return errors.New("--health-retries cannot be negative")
		}
		h.Retries, set = int(n), true
	}
	switch {
	case c.Bool("no-healthcheck") && set:
		return errors.New("--no-healthcheck conflicts with --health-* options")
	case c.Bool("no-healthcheck"):
		s.Health = &container.HealthCheck{Test: []string{"NONE"}}
	case set:
		s.Health = &h
	}
	return nil
}

// intFlag reads a flag that is a number.
func intFlag(c *cli.Context, name string) (int64, error) {
	n, err := strconv.ParseInt(c.String(name), 10, 32)
	if err != nil {
		return 0, options.Invalid(c.String(name), "--"+name, err)
	}
	return n, nil
}
