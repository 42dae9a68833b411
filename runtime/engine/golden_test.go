package engine

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	devices "github.com/opencontainers/cgroups/devices/config"

	"ctr/runtime/container"
)

var update = flag.Bool("update", false, "write the golden files anew")

// plainHost is a machine where nothing is missing.
func plainHost() host {
	controllers := map[string]bool{}
	for _, name := range []string{"cpu", "cpuset", "memory", "pids", "blkio", "devices", "freezer", "io"} {
		controllers[name] = true
	}
	return host{
		capabilities: append([]string{"CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_SYS_RESOURCE"}, defaultCapabilities...),
		oomScoreAdj:  -1000, controllers: controllers, swap: true,
	}
}

func plainConfig() Config {
	return Config{
		Spec:     &container.Spec{ID: "0123456789ab"},
		StateDir: "/run/ctr/containers", Rootfs: "/run/ctr/containers/0123456789ab/rootfs",
		Args: []string{"sh"}, Hostname: "0123456789ab", Cgroup: "ctr/0123456789ab", NetNS: "/proc/7/fd/8",
		Binds: []Bind{
			{Source: "/data/resolv.conf", Target: "/etc/resolv.conf"},
			{Source: "/data/hostname", Target: "/etc/hostname"},
			{Source: "/data/hosts", Target: "/etc/hosts"},
		},
	}
}

func TestGoldenConfigs(t *testing.T) {
	limit := int64(100)
	adj := 500
	for name, change := range map[string]func(c *Config, h *host){
		"default": func(*Config, *host) {},
		"privileged": func(c *Config, h *host) {
			c.Spec.Security.Privileged = true
			h.devices = []*devices.Device{charDevice("/dev/fuse", 10, 229)}
		},
		"joined": func(c *Config, _ *host) {
			c.Spec.Network.Mode = container.ModeContainer + "0987"
			c.PIDNS, c.IPCNS, c.UTSNS = "/proc/7/fd/9", "/proc/7/fd/10", "/proc/7/fd/11"
		},
		"host-namespaces": func(c *Config, _ *host) {
			c.Spec.Network.Mode = container.ModeHost
			c.Spec.Namespaces.Cgroup = container.ModeHost
			c.NetNS, c.PIDNS, c.IPCNS, c.UTSNS = HostNS, HostNS, HostNS, HostNS
		},
		"cgroup2": func(c *Config, h *host) {
			h.unified = true
			c.Spec.Resources = container.Resources{CPUShares: 512, Memory: 64 << 20, MemorySwap: -1, PidsLimit: &limit}
		},
		"options": func(c *Config, h *host) {
			h.appArmor, h.executable = true, "/usr/bin/ctr"
			c.Spec.Init = true
			c.Domainname = "example.org"
			c.Spec.Rootfs.ReadOnly = true
			c.Spec.Security = container.Security{
				NoNewPrivileges: true, Seccomp: unconfined, SystemPaths: systemPathsUnconfined,
				CapAdd: []string{"net_admin"}, CapDrop: []string{"CAP_MKNOD"},
				Sysctls: map[string]string{"net.core.somaxconn": "512"},
			}
			c.Spec.Resources = container.Resources{
				Memory: 64 << 20, NanoCPUs: 1_500_000_000, CpusetCpus: "0-1", OOMScoreAdj: &adj, ShmSize: 1 << 20,
				Ulimits: []container.Ulimit{{Name: "nofile", Soft: 64, Hard: 128}, {Name: "core", Soft: -1, Hard: -1}},
			}
			c.Mounts = []container.Mount{
				{Type: container.MountBind, Source: "/srv/a", Target: "/a/b/c", ReadOnly: true},
				{Type: container.MountVolume, Source: "/data/volumes/v", Target: "/a/", Propagation: "rslave"},
				{Type: container.MountTmpfs, Target: "/tmp", Options: []string{"size=1m", "exec", "mode=1777"}},
				{Type: container.MountBind, Source: "/srv/hosts", Target: "/etc/hosts", NonRecursive: true},
			}
			h.devices = []*devices.Device{charDevice("/dev/fuse", 10, 229)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, h := plainConfig(), plainHost()
			change(&c, &h)
			config, warnings, err := c.libcontainer(h)
			if err != nil || len(warnings) > 0 {
				t.Fatalf("got %v, warnings %q", err, warnings)
			}
			golden(t, filepath.Join("testdata", name+".json"), config)
		})
	}
}

func golden(t *testing.T, path string, v any) {
	t.Helper()
	got, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs (go test -update writes it anew); got:\n%s", path, got)
	}
}
