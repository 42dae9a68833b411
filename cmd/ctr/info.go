package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"github.com/opencontainers/runc/libcontainer/seccomp"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ctr/internal/cgroupfs"
	"ctr/runtime/container"
	"ctr/runtime/lifecycle"
)

// systemInfo is what `info` tells. Fields that Docker has too have its names.
type systemInfo struct {
	Containers        int
	ContainersRunning int
	ContainersPaused  int
	ContainersStopped int
	Images            int
	ServerVersion     string
	KernelVersion     string
	OperatingSystem   string
	OSType            string
	Architecture      string
	NCPU              int
	MemTotal          int64
	Name              string
	RootDir           string `json:"DockerRootDir"`
	RunRoot           string
	CgroupVersion     string
	CgroupDriver      string
	Driver            string
	LoggingDriver     string
	DefaultRuntime    string
	Plugins           plugins
	Swarm             swarm
	LiveRestore       bool `json:"LiveRestoreEnabled"`
	MemoryLimit       bool
	SwapLimit         bool
	PidsLimit         bool
	CPUShares         bool
	CPUSet            bool
	SecurityOptions   []string
	IPv4Forwarding    bool
	BridgeNfIptables  bool
	Features          []feature
	Warnings          []string
}

// plugins are the drivers that there are.
type plugins struct{ Volume, Network, Log []string }

// swarm is what Docker calls a cluster, for scripts that ask whether the host is in one.
type swarm struct{ LocalNodeState string }

// feature is something that the kernel may lack.
type feature struct {
	Name  string
	Found bool
	Needs string `json:",omitempty"` // what does not work without
}

func (a *app) infoCommand() *cli.Command {
	return &cli.Command{
		Name: "info", Usage: "Display information on this host and this installation", Description: "ctr info -f '{{.KernelVersion}}'",
		Flags: []cli.Flag{textFlag("format", `Format output ("json", or a Go template)`, "f")},
		Action: func(c *cli.Context) error {
			if err := a.needArgs(c, 0, 0); err != nil {
				return err
			}
			in, err := a.open()
			if err != nil {
				return err
			}
			return runInfo(c.Context, in, c.String("format"), a.ui)
		},
	}
}

// runInfo tells what there is, and what is missing.
func runInfo(_ context.Context, in *lifecycle.Installation, text string, ui *ui) error {
	i := hostInfo(compilesSeccomp(in))
	i.Features = append(i.Features, networkFeatures(in)...)
	i.RootDir, i.RunRoot = in.Roots.Data, in.Roots.Run
	all, broken := in.Containers.List()
	for _, err := range broken {
		i.Warnings = append(i.Warnings, err.Error())
	}
	for _, c := range all {
		i.Containers++
		switch s := c.State(); {
		case s.Status == container.Paused:
			i.ContainersPaused++
		case s.Running():
			i.ContainersRunning++
		default:
			i.ContainersStopped++
		}
	}
	have, err := in.Images.List()
	if err != nil {
		return err
	}
	i.Images = len(have)
	if text != "" {
		return printFormatted(ui, text, i)
	}
	i.print(ui)
	return nil
}

// compilesSeccomp tells whether this ctr was built with libseccomp, in it or in its init program.
func compilesSeccomp(in *lifecycle.Installation) bool {
	program, err := in.InitProgram()
	return seccomp.Enabled || err == nil && program != ""
}

// hostInfo asks the kernel.
func hostInfo(compilesSeccomp bool) systemInfo {
	i := systemInfo{
		ServerVersion: version, OSType: "linux", Architecture: runtime.GOARCH, NCPU: runtime.NumCPU(), OperatingSystem: osName(),
		CgroupVersion: cgroupVersion()[:1], IPv4Forwarding: sysctlOn("net/ipv4/ip_forward"), BridgeNfIptables: sysctlOn("net/bridge/bridge-nf-call-iptables"),
	}
	i.Driver, i.CgroupDriver, i.LoggingDriver, i.DefaultRuntime, i.LiveRestore = "overlay2", "cgroupfs", "json-file", "ctr", true
	i.Plugins = plugins{
		Volume: []string{"local"}, Network: []string{"bridge", "host", "ipvlan", "macvlan", "null"}, Log: []string{"journald", "json-file", "none"},
	}
	i.Swarm.LocalNodeState = "inactive"
	i.MemoryLimit, i.PidsLimit, i.CPUShares, i.CPUSet = controller("memory"), controller("pids"), controller("cpu"), controller("cpuset")
	i.SwapLimit = i.MemoryLimit && (cgroupfs.Version2() || exists(filepath.Join(hierarchy("memory"), "memory.memsw.limit_in_bytes")))
	i.KernelVersion = kernelVersion()
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		i.Name, i.Architecture = unix.ByteSliceToString(u.Nodename[:]), unix.ByteSliceToString(u.Machine[:])
	}
	var s unix.Sysinfo_t
	if unix.Sysinfo(&s) == nil {
		i.MemTotal = int64(s.Totalram) * int64(s.Unit)
	}
	if compilesSeccomp && exists("/proc/sys/kernel/seccomp/actions_avail") {
		i.SecurityOptions = append(i.SecurityOptions, "name=seccomp,profile=builtin")
	}
	if exists("/sys/kernel/security/apparmor") {
		i.SecurityOptions = append(i.SecurityOptions, "name=apparmor")
	}
	i.SecurityOptions = append(i.SecurityOptions, "name=cgroupns")
	i.Features = features()
	if !compilesSeccomp {
		i.Warnings = append(i.Warnings, "this binary was built without seccomp: containers are refused unless they ask for seccomp=unconfined")
	}
	if !i.IPv4Forwarding {
		i.Warnings = append(i.Warnings, "IPv4 forwarding is off; it is turned on with the first bridge network that needs it")
	}
	return i
}

// features are what containers and networks can use of this kernel.
func features() []feature {
	return []feature{
		{"overlayfs", inFile("/proc/filesystems", "overlay"), "images"},
		{"cgroup memory controller", controller("memory"), "--memory"},
		{"cgroup cpu controller", controller("cpu"), "--cpus, --cpu-shares"},
		{"cgroup pids controller", controller("pids"), "--pids-limit"},
		{"cgroup cpuset controller", controller("cpuset"), "--cpuset-cpus"},
		{"cgroup freezer", controller("freezer") || cgroupfs.Version2(), "pause"},
		{"user namespaces", exists("/proc/self/ns/user"), "--userns"},
		{"time namespaces", exists("/proc/self/ns/time"), ""},
		{"IPv6", exists("/proc/net/if_inet6"), "--ipv6"},
		{"seccomp", exists("/proc/sys/kernel/seccomp/actions_avail"), "the default seccomp profile, CONFIG_SECCOMP_FILTER"},
	}
}

// networkFeatures asks the kernel, which loads a module for the asking where it has one.
func networkFeatures(in *lifecycle.Installation) []feature {
	var all []feature
	for _, f := range in.Networks.Features() {
		all = append(all, feature{f.Name, f.Found, f.Needs})
	}
	return all
}

// controller tells whether cgroups can limit something, in either version.
func controller(name string) bool {
	return hierarchy(name) != "" || cgroupfs.Version2() && inFile(filepath.Join(cgroupfs.UnifiedRoot(), "cgroup.controllers"), name)
}

// hierarchy is where the controller of version 1 is; empty if there is none.
func hierarchy(name string) string {
	roots, _ := cgroupfs.Roots()
	return roots[name]
}

// cgroupVersion is 1, 2, or both at once.
func cgroupVersion() string {
	switch {
	case cgroupfs.Version2():
		return "2"
	case cgroupfs.UnifiedRoot() != "":
		return "1 (hybrid)"
	}
	return "1"
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// inFile tells whether a small file has the word.
func inFile(path, word string) bool {
	text, err := os.ReadFile(path)
	return err == nil && slices.Contains(strings.Fields(string(text)), word)
}

func sysctlOn(name string) bool {
	text, err := os.ReadFile(filepath.Join("/proc/sys", name))
	return err == nil && strings.TrimSpace(string(text)) != "0"
}

func kernelVersion() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// osName is the name of the distribution (os-release(5)).
func osName() string {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "Linux"
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(name, `"`)
		}
	}
	return "Linux"
}

func (i systemInfo) print(ui *ui) {
	ui.printf("Containers: %d\n Running: %d\n Paused: %d\n Stopped: %d\nImages: %d\n", i.Containers, i.ContainersRunning, i.ContainersPaused, i.ContainersStopped, i.Images)
	ui.printf("Version: %s\nStorage Driver: overlay2\nLogging Driver: json-file\nCgroup Driver: %s\nCgroup Version: %s\n", i.ServerVersion, i.CgroupDriver, cgroupVersion())
	ui.printf("Security Options:\n")
	for _, o := range i.SecurityOptions {
		ui.printf("  %s\n", strings.TrimPrefix(o, "name="))
	}
	ui.printf("Kernel Version: %s\nOperating System: %s\nOSType: %s\nArchitecture: %s\nCPUs: %d\nTotal Memory: %s\nName: %s\n",
		i.KernelVersion, i.OperatingSystem, i.OSType, i.Architecture, i.NCPU, units.BytesSize(float64(i.MemTotal)), i.Name)
	ui.printf("Data Root: %s\nRun Root: %s\nIPv4 Forwarding: %s\n", i.RootDir, i.RunRoot, onOff(i.IPv4Forwarding))
	ui.printf("Kernel Features:\n")
	for _, f := range i.Features {
		line := "yes"
		if !f.Found {
			line = "missing"
			if f.Needs != "" {
				line += " (needed by " + f.Needs + ")"
			}
		}
		ui.printf("  %s: %s\n", f.Name, line)
	}
	ui.warn(i.Warnings...)
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
