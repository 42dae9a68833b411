package engine

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/runtime/container"
)

func TestCapabilities(t *testing.T) {
	h := plainHost()
	for _, test := range []struct {
		security container.Security
		gained   []string // besides the default, or all if the default is lost
		lost     []string
		missing  []string
	}{
		{security: container.Security{}},
		{security: container.Security{CapAdd: []string{"NET_ADMIN"}}, gained: []string{"CAP_NET_ADMIN"}},
		{security: container.Security{CapAdd: []string{"cap_net_admin", "sys_admin"}}, gained: []string{"CAP_NET_ADMIN", "CAP_SYS_ADMIN"}},
		{security: container.Security{CapDrop: []string{"CHOWN", "kill"}}, lost: []string{"CAP_CHOWN", "CAP_KILL"}},
		{security: container.Security{CapAdd: []string{"CHOWN"}, CapDrop: []string{"CHOWN"}}},
		{security: container.Security{CapDrop: []string{"ALL"}}, lost: defaultCapabilities},
		{
			security: container.Security{CapDrop: []string{"all"}, CapAdd: []string{"CHOWN", "NET_ADMIN"}},
			gained:   []string{"CAP_NET_ADMIN"}, lost: defaultCapabilities[1:],
		},
		{
			security: container.Security{CapAdd: []string{"ALL"}, CapDrop: []string{"SYS_ADMIN"}},
			gained:   []string{"CAP_NET_ADMIN", "CAP_SYS_RESOURCE"},
		},
		{security: container.Security{CapAdd: []string{"SYS_TIME"}}, missing: []string{"CAP_SYS_TIME"}},
		{
			security: container.Security{Privileged: true, CapAdd: []string{"SYS_TIME"}},
			gained:   []string{"CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_SYS_RESOURCE"},
		},
	} {
		got, missing, err := capabilities(test.security, h)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, name := range h.capabilities {
			isDefault := slices.Contains(defaultCapabilities, name) && !slices.Contains(test.lost, name)
			if isDefault || slices.Contains(test.gained, name) {
				want = append(want, name)
			}
		}
		if !slices.Equal(got, want) || !slices.Equal(missing, test.missing) {
			t.Errorf("%+v: got %v, missing %v, want %v, missing %v", test.security, got, missing, want, test.missing)
		}
	}
	for _, name := range []string{"NO_SUCH", "", "CAP_", "NET_ADMIN,CHOWN"} {
		if _, _, err := capabilities(container.Security{CapAdd: []string{name}}, h); err == nil {
			t.Errorf("capability %q was taken", name)
		}
	}
}

func TestSysctls(t *testing.T) {
	const ours, joined, hosts = "", "container:x", "host"
	for _, test := range []struct {
		name, value string
		net         container.Mode
		ipc         string
		ok          bool
	}{
		{"net.ipv4.ip_forward", "1", ours, "", true},
		{"net.ipv4.ip_forward", "1", container.ModeNone, "", true},
		{"net.ipv4.ip_forward", "1", joined, "", false},
		{"net.ipv4.ip_forward", "1", hosts, "", false},
		{"kernel.shmmax", "1", ours, "", true},
		{"kernel.shm_rmid_forced", "1", ours, "", true},
		{"kernel.msgmax", "1", ours, "", true},
		{"kernel.sem", "1 2 3 4", ours, "", true},
		{"fs.mqueue.msg_max", "1", ours, "", true},
		{"kernel.shmmax", "1", ours, HostNS, false},
		{"kernel.shmmax", "1", ours, "/proc/7/fd/8", false},
		{"fs.mqueue.msg_max", "1", ours, HostNS, false},
		{"kernel.core_pattern", "|/bin/sh", ours, "", false},
		{"kernel.shmmaxx", "1", ours, "", false},
		{"vm.overcommit_memory", "1", ours, "", false},
		{"fs.file-max", "1", ours, "", false},
		{"net", "1", ours, "", false},
		{"net.", "1", ours, "", false},
		{"net..kernel.core_pattern", "1", ours, "", false},
		{"net.//.kernel.core_pattern", "1", ours, "", false},
		{"net/../kernel/core_pattern", "1", ours, "", false},
		{"net.ipv4.ip_forward\n", "1", ours, "", false},
		{"net.ipv4.ip_forward", "1\n2", ours, "", false},
		{"net.ipv4.ip_forward", "1+kernel.core_pattern=x", ours, "", false},
		{"net.ipv4.ip_forward+kernel.core_pattern", "1", ours, "", false},
		{"net.ipv4.ip_forward", "1\x00", ours, "", false},
		{"", "1", ours, "", false},
	} {
		c := plainConfig()
		c.Spec.Network.Mode, c.IPCNS = test.net, test.ipc
		c.Spec.Security.Sysctls = map[string]string{test.name: test.value}
		got, err := sysctls(c)
		if (err == nil) != test.ok {
			t.Errorf("%+v: got %v", test, err)
		}
		if err == nil && got[test.name] != test.value {
			t.Errorf("%+v: got %v", test, got)
		}
	}
}

func TestLimitsAreClipped(t *testing.T) {
	c, h := plainConfig(), plainHost()
	h.hardLimits = map[string]uint64{"nofile": 512, "nproc": 100}
	h.oomScoreAdj = 300
	config, warnings, err := c.libcontainer(h)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("the defaults: got %v, warnings %q", err, warnings)
	}
	if l := config.Rlimits[0]; l.Type != unix.RLIMIT_NOFILE || l.Soft != 512 || l.Hard != 512 {
		t.Errorf("got %+v", l)
	}
	if *config.OomScoreAdj != 300 {
		t.Errorf("got oom_score_adj %d", *config.OomScoreAdj)
	}

	adj := -5
	c.Spec.Resources.OOMScoreAdj = &adj
	c.Spec.Resources.Ulimits = []container.Ulimit{{Name: "nproc", Soft: 50, Hard: -1}, {Name: "core", Soft: -1, Hard: -1}}
	config, warnings, err = c.libcontainer(h)
	if err != nil || len(warnings) != 2 {
		t.Fatalf("asked for: got %v, warnings %q", err, warnings)
	}
	if l := config.Rlimits[0]; l.Soft != 50 || l.Hard != 100 {
		t.Errorf("got %+v", l)
	}
}

func TestMissingControllers(t *testing.T) {
	c, h := plainConfig(), plainHost()
	h.controllers, h.swap = map[string]bool{"devices": true}, false
	config, warnings, err := c.libcontainer(h)
	if err != nil || len(warnings) > 0 || config.Cgroups.PidsLimit != nil {
		t.Errorf("the defaults: got %v, warnings %q, pids %v", err, warnings, config.Cgroups.PidsLimit)
	}
	pids := int64(10)
	for _, r := range []container.Resources{
		{Memory: 1 << 30}, {NanoCPUs: 1e9}, {CpusetCpus: "0"}, {PidsLimit: &pids}, {BlkioWeight: 10},
	} {
		c.Spec.Resources = r
		_, _, err := c.libcontainer(h)
		if err == nil || !strings.Contains(err.Error(), "no cgroup controller") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: got %v", r, err)
		}
	}
}

// What cgroup v2 has no setting for is left out with a warning if it was asked for, as in Docker, and without one for a default.
func TestMemorySettingsOfEitherVersion(t *testing.T) {
	seven, hosts := int64(7), int64(-1)
	for _, test := range []struct {
		name    string
		asked   container.Resources
		change  func(*host)
		want    *uint64 // swappiness
		refused string
		warning string
	}{
		{name: "swappiness, v1", asked: container.Resources{MemorySwappiness: &seven}, want: new(uint64(7))},
		{name: "the host's, v1", asked: container.Resources{MemorySwappiness: &hosts}},
		{
			name: "swappiness, v2", asked: container.Resources{MemorySwappiness: &seven}, change: func(h *host) { h.unified = true },
			warning: "memory swappiness cannot be set with cgroup v2: ignored",
		},
		{name: "the host's, v2", asked: container.Resources{MemorySwappiness: &hosts}, change: func(h *host) { h.unified = true }},
		{
			name: "swappiness without the controller", asked: container.Resources{MemorySwappiness: &seven},
			change:  func(h *host) { delete(h.controllers, "memory") },
			refused: `cannot limit memory: this host has no cgroup controller "memory"`,
		},
		{
			name: "the host's without the controller", asked: container.Resources{MemorySwappiness: &hosts},
			change: func(h *host) { delete(h.controllers, "memory") },
		},
		{
			name: "the killer, v2", asked: container.Resources{OOMKillDisable: true}, change: func(h *host) { h.unified = true },
			warning: "the OOM killer cannot be disabled with cgroup v2: ignored",
		},
		{
			name: "swap that is not counted", asked: container.Resources{Memory: 1 << 30, MemorySwap: 1 << 31}, change: func(h *host) { h.swap = false },
			warning: "this host's kernel does not limit swap: memory limited without swap",
		},
	} {
		h := plainHost()
		if test.change != nil {
			test.change(&h)
		}
		got, warnings, err := resources(test.asked, h)
		if err != nil {
			if err.Error() != test.refused {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if s := got.MemorySwappiness; test.refused != "" || (s == nil) != (test.want == nil) || s != nil && *s != *test.want {
			t.Errorf("%s: swappiness %v, not refused", test.name, s)
		}
		if strings.Join(warnings, "; ") != test.warning {
			t.Errorf("%s: warnings %q", test.name, warnings)
		}
	}
}

// No limit of processes is said to the kernel: an update would leave the old one otherwise.
func TestPidsLimit(t *testing.T) {
	for _, test := range []struct {
		name       string
		asked      *int64
		controller bool
		want       *int64
	}{
		{name: "default", controller: true, want: new(int64(defaultPidsLimit))},
		{name: "of one's own", asked: new(int64(7)), controller: true, want: new(int64(7))},
		{name: "none", asked: new(int64(0)), controller: true, want: new(int64(-1))},
		{name: "none, in the other way", asked: new(int64(-1)), controller: true, want: new(int64(-1))},
		{name: "default, no controller"},
		{name: "none, no controller", asked: new(int64(-1))},
	} {
		h := plainHost()
		h.controllers["pids"] = test.controller
		got, _, err := resources(container.Resources{PidsLimit: test.asked}, h)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if p := got.PidsLimit; (p == nil) != (test.want == nil) || p != nil && *p != *test.want {
			t.Errorf("%s: got %v, want %v", test.name, p, test.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for what, change := range map[string]func(*Config){
		"no command":         func(c *Config) { c.Args = nil },
		"empty command":      func(c *Config) { c.Args = []string{""} },
		"NUL in an argument": func(c *Config) { c.Args = []string{"a\x00b"} },
		"NUL in env":         func(c *Config) { c.Env = []string{"A=\x00"} },
		"env without name":   func(c *Config) { c.Env = []string{"=x"} },
		"relative WorkDir":   func(c *Config) { c.WorkDir = "a" },
		"root cgroup":        func(c *Config) { c.Cgroup = "/" },
		"unknown ulimit":     func(c *Config) { c.Spec.Resources.Ulimits = []container.Ulimit{{Name: "x"}} },
		"soft above hard":    func(c *Config) { c.Spec.Resources.Ulimits = []container.Ulimit{{Name: "core", Soft: -1, Hard: 1}} },
		"cpus and quota":     func(c *Config) { c.Spec.Resources.NanoCPUs, c.Spec.Resources.CPUQuota = 1, 1 },
		"mount on /":         func(c *Config) { c.Mounts = []container.Mount{{Source: "/a", Target: "/x/.."}} },
		"mount on /proc":     func(c *Config) { c.Mounts = []container.Mount{{Source: "/a", Target: "/proc/"}} },
		"mount in /proc":     func(c *Config) { c.Mounts = []container.Mount{{Source: "/a", Target: "/proc/sys"}} },
		"relative target":    func(c *Config) { c.Mounts = []container.Mount{{Source: "/a", Target: "b"}} },
		"unresolved volume":  func(c *Config) { c.Mounts = []container.Mount{{Source: "name", Target: "/b"}} },
		"twice the target": func(c *Config) {
			c.Mounts = []container.Mount{{Source: "/a", Target: "/b"}, {Source: "/c", Target: "/b/"}}
		},
		"unknown propagation": func(c *Config) { c.Mounts = []container.Mount{{Source: "/a", Target: "/b", Propagation: "x"}} },
		"tmpfs option": func(c *Config) {
			c.Mounts = []container.Mount{{Type: container.MountTmpfs, Target: "/b", Options: []string{"lowerdir=/"}}}
		},
		"two tmpfs options in one": func(c *Config) {
			c.Mounts = []container.Mount{{Type: container.MountTmpfs, Target: "/b", Options: []string{"size=1m,mode=0"}}}
		},
	} {
		c := plainConfig()
		change(&c)
		if _, _, err := c.libcontainer(plainHost()); err == nil {
			t.Errorf("%s: not refused", what)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than a line: %v", what, err)
		}
	}
}

func TestSeccompProfiles(t *testing.T) {
	for profile, ok := range map[string]bool{
		"": true, `{"defaultAction":"SCMP_ACT_ALLOW"}`: true,
		"{": false, `{"defaultAction":"x"}`: false, `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["x"]}`: false,
	} {
		got, err := seccompFilter("", container.Security{Seccomp: profile}, nil)
		if (err == nil) != ok || ok && got == nil {
			t.Errorf("%q: got %v, %v", profile, got, err)
		}
	}
	for _, s := range []container.Security{{Seccomp: unconfined}, {Privileged: true}} {
		if got, err := seccompFilter("", s, nil); got != nil || err != nil {
			t.Errorf("%+v: got %v, %v", s, got, err)
		}
	}
}

func TestEnvironment(t *testing.T) {
	for _, test := range []struct {
		env            []string
		hostname, home string
		tty            bool
		want           []string
	}{
		{nil, "h", "/root", false, []string{defaultPath, "HOSTNAME=h", "HOME=/root"}},
		{nil, "", "", true, []string{defaultPath, "TERM=xterm"}},
		{
			[]string{"PATH=/x", "TERM=vt100", "HOME=/h", "A=1", "A="},
			"h", "/root", true,
			[]string{"PATH=/x", "HOSTNAME=h", "TERM=vt100", "HOME=/h", "A="},
		},
	} {
		got := environment(test.env, test.hostname, test.home, test.tty)
		if !slices.Equal(got, test.want) {
			t.Errorf("%+v: got %q", test, got)
		}
	}
}
