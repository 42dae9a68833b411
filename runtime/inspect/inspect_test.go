package inspect

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ctr/images"
	"ctr/network"
	"ctr/runtime/container"
)

var update = flag.Bool("update", false, "write the golden files")

var then = time.Date(2026, 11, 23, 15, 4, 5, 6, time.UTC)

func golden(t *testing.T, name string, v any) {
	t.Helper()
	got, err := json.MarshalIndent(v, "", "    ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	path := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s: got\n%s", name, got)
	}
}

var mynet = strings.Repeat("a1", 32)

// web runs on a user-defined network with all kinds of ports and mounts.
func web() Container {
	three, limit, score := 3, int64(100), -5
	c := Container{
		Spec: container.Spec{
			ID: strings.Repeat("1f", 32), Name: "web", Created: then,
			Image:      container.Image{Ref: "toolbox", ID: "sha256:" + strings.Repeat("2e", 32)},
			Entrypoint: []string{"/entry"}, Cmd: []string{"nginx", "-g"}, Env: []string{"A=1"}, User: "www", WorkDir: "/srv",
			Labels: map[string]string{"a": "b"},
			Network: container.Network{
				Endpoints: []network.EndpointSpec{{Network: mynet, Aliases: []string{"www"}, IPv4: netip.MustParseAddr("172.18.0.9")}},
				Ports: []network.Port{
					{Protocol: network.TCP, HostPort: 8080, ContainerPort: 80},
					{Protocol: network.UDP, HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 5000, HostPortEnd: 5010, ContainerPort: 53},
				},
				Expose:     []network.Expose{{Protocol: network.TCP, Port: 443}},
				Resolver:   network.ResolverSpec{Servers: []netip.Addr{netip.MustParseAddr("10.0.0.53")}},
				ExtraHosts: []network.ExtraHost{{Name: "gw"}, {Name: "a", IP: netip.MustParseAddr("10.0.0.1")}},
			},
			Mounts: []container.Mount{
				{Type: container.MountBind, Source: "/src", Target: "/dst", ReadOnly: true, CreateSource: true},
				{Type: container.MountVolume, Source: "data", Target: "/data"},
				{Type: container.MountVolume, Source: strings.Repeat("d4", 32), Target: "/anon", Anonymous: true, CreateSource: true},
				{Type: container.MountTmpfs, Target: "/tmp", Options: []string{"size=1m"}, CreateSource: true},
				{Type: container.MountTmpfs, Target: "/cache", Options: []string{"mode=700"}},
			},
			Security:  container.Security{CapAdd: []string{"CAP_NET_ADMIN"}, NoNewPrivileges: true, Devices: []container.Device{{Source: "/dev/null", Target: "/dev/x", Permissions: "r"}}},
			Resources: container.Resources{Memory: 64 << 20, NanoCPUs: 1e9, PidsLimit: &limit, OOMScoreAdj: &score, Ulimits: []container.Ulimit{{Name: "nofile", Soft: 1, Hard: 2}}},
			Restart:   container.RestartPolicy{Name: "on-failure", MaxRetries: 3}, StopSignal: "SIGQUIT", StopTimeout: &three,
			Log:    container.Log{MaxSize: 1000, MaxFile: 2, Options: map[string]string{"max-size": "1k", "max-file": "2", "labels": "a"}},
			Health: &container.HealthCheck{Test: []string{"CMD", "true"}, Interval: time.Second},
		},
		State:       container.State{Status: container.Running, PID: 42, StartedAt: then.Add(time.Second), Health: &container.Health{Status: "healthy"}},
		Dir:         "/var/lib/ctr/containers/1f",
		LogPath:     "/var/lib/ctr/containers/1f/1f-json.log",
		MaskedPaths: []string{"/proc/kcore"}, ReadonlyPaths: []string{"/proc/sys"},
		VolumePath:  func(name string) string { return "/var/lib/ctr/volumes/" + name + "/_data" },
		NetworkName: func(id string) string { return map[string]string{mynet: "mynet"}[id] },
		NetworkID:   func(name string) string { return map[string]string{"host": strings.Repeat("b2", 32)}[name] },
	}
	c.Record = &network.Record{
		Spec: network.SandboxSpec{Endpoints: c.Spec.Network.Endpoints}, NetnsName: "web",
		Endpoints: []network.Endpoint{{
			ID: strings.Repeat("c3", 32), Network: mynet, Name: "mynet", MAC: "02:42:ac:12:00:09",
			IPv4: netip.MustParsePrefix("172.18.0.9/16"), Gateway4: netip.MustParseAddr("172.18.0.1"),
			IPv6: netip.MustParsePrefix("fd00::9/64"), Gateway6: netip.MustParseAddr("fd00::1"), DNSNames: []string{"web", "www", "1f1f1f1f1f1f"},
		}},
		Published: &network.Published{Bridge: "br-a1a1a1a1a1a1", IPv4: netip.MustParseAddr("172.18.0.9"), IPv6: netip.MustParseAddr("fd00::9")},
		Ports: []network.Port{
			{Protocol: network.TCP, HostPort: 8080, ContainerPort: 80},
			{Protocol: network.UDP, HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 5003, ContainerPort: 53},
		},
	}
	return c
}

func TestRunning(t *testing.T) {
	golden(t, "running", web().Inspect())
	golden(t, "running-summary", web().Summary(then.Add(3*time.Minute)))
}

func TestStopped(t *testing.T) {
	c := web()
	c.State = container.State{Status: container.Exited, ExitCode: 137, StartedAt: then, FinishedAt: then.Add(time.Hour), OOMKilled: true}
	got := c.Inspect()
	if len(got.NetworkSettings.Ports) != 0 || got.NetworkSettings.Networks["mynet"].IPAddress.IsValid() || got.NetworkSettings.SandboxKey != "" {
		t.Errorf("a stopped container has %+v", got.NetworkSettings)
	}
	if e := got.NetworkSettings.Networks["mynet"]; e == nil || e.NetworkID != mynet || e.IPAMConfig == nil {
		t.Errorf("a stopped container lost its network: %+v", e)
	}
	if !got.State.OOMKilled || got.State.Running || got.State.ExitCode != 137 {
		t.Errorf("state %+v", got.State)
	}
	if s := c.Summary(then); len(s.Ports) != 0 {
		t.Errorf("a stopped container shows ports %v", s.Ports)
	}
}

func TestHostNetwork(t *testing.T) {
	c := web()
	c.Spec.Network = container.Network{Mode: container.ModeHost}
	c.Record = nil
	got := c.Inspect()
	if got.HostConfig.NetworkMode != "host" || got.NetworkSettings.Networks["host"].NetworkID != strings.Repeat("b2", 32) {
		t.Errorf("mode %s, networks %v", got.HostConfig.NetworkMode, got.NetworkSettings.Networks)
	}
}

func TestStatus(t *testing.T) {
	now := then.Add(5 * time.Minute)
	for _, test := range []struct {
		state container.State
		want  string
	}{
		{container.State{Status: container.Created}, "Created"},
		{container.State{Status: container.Running, StartedAt: then}, "Up 5 minutes"},
		{container.State{Status: container.Running, StartedAt: now}, "Up Less than a second"},
		{container.State{Status: container.Running, StartedAt: then, Health: &container.Health{Status: "healthy"}}, "Up 5 minutes (healthy)"},
		{container.State{Status: container.Running, StartedAt: then, Health: &container.Health{Status: "starting"}}, "Up 5 minutes (health: starting)"},
		{container.State{Status: container.Paused, StartedAt: then}, "Up 5 minutes (Paused)"},
		{container.State{Status: container.Restarting, ExitCode: 1, FinishedAt: then}, "Restarting (1) 5 minutes ago"},
		{container.State{Status: container.Exited, ExitCode: 137, FinishedAt: now.Add(-26 * time.Hour)}, "Exited (137) 26 hours ago"},
		{container.State{Status: container.Exited, ExitCode: 0}, "Exited (0)"},
		{container.State{Status: container.Removing}, "Removal In Progress"},
		{container.State{Status: container.Dead}, "Dead"},
	} {
		if got := Status(test.state, now); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestNetwork(t *testing.T) {
	spec := network.Spec{
		ID: mynet, Name: "mynet", Driver: "bridge", Created: then, IPv4: true, IPv6: true, Labels: map[string]string{"a": "b"},
		Subnets: []network.Subnet{
			{Prefix: netip.MustParsePrefix("172.18.0.0/16"), Gateway: netip.MustParseAddr("172.18.0.1"), Range: netip.MustParsePrefix("172.18.1.0/24")},
			{Prefix: netip.MustParsePrefix("fd00::/64"), Gateway: netip.MustParseAddr("fd00::1")},
		},
	}
	users := []network.User{{ID: web().Spec.ID, Name: "web", Endpoint: web().Record.Endpoints[0]}}
	golden(t, "network", NetworkOf(spec, users, nil))
	golden(t, "network-none", NetworkOf(network.Spec{ID: mynet, Name: "none", Driver: "none", Created: then, IPv4: true}, nil, nil))
}

func TestUsage(t *testing.T) {
	for _, test := range []struct {
		prefix          string
		used, available uint64
	}{
		{"10.0.0.0/24", 2, 254}, {"10.0.0.0/30", 2, 2}, {"10.0.0.0/31", 1, 1}, {"10.0.0.0/32", 1, 0}, {"fd00::/96", 1, 1<<32 - 1}, {"fd00::/64", 1, 1<<64 - 2},
	} {
		got := usage(network.Subnet{Prefix: netip.MustParsePrefix(test.prefix)}, nil)
		if got.IPsInUse != test.used || got.DynamicIPsAvailable != test.available {
			t.Errorf("%s: %+v", test.prefix, got)
		}
	}
}

func TestImage(t *testing.T) {
	i := images.Image{
		ID: "sha256:" + strings.Repeat("2e", 32), Digest: "sha256:" + strings.Repeat("3d", 32), Names: []string{"toolbox:latest"},
		RepoDigests: []string{"toolbox@sha256:" + strings.Repeat("3d", 32)}, Created: then,
		Layers: []images.Layer{{DiffID: "sha256:" + strings.Repeat("4c", 32)}},
	}
	i.Config.Architecture, i.Config.OS = "amd64", "linux"
	i.Config.Config.Cmd, i.Config.Config.ExposedPorts = []string{"sh"}, map[string]struct{}{"80/tcp": {}}
	i.Config.History = []v1.History{{Comment: "first"}, {Comment: "last"}}
	golden(t, "image", Image(i, 12345))
}

// TestDefaultBridge shows the place on the default bridge as Docker did before version 29, too.
func TestDefaultBridge(t *testing.T) {
	c := web()
	if s := c.Inspect().NetworkSettings; s.IPAddress.IsValid() || s.MacAddress != nil {
		t.Errorf("on another network: %+v", s)
	}
	c.Record.Endpoints[0].Name = "bridge"
	s := c.Inspect().NetworkSettings
	e := s.Networks["bridge"]
	if s.IPAddress != e.IPAddress || s.IPPrefixLen != 16 || s.Gateway != e.Gateway || s.MacAddress.String() != "02:42:ac:12:00:09" ||
		s.GlobalIPv6Address != e.GlobalIPv6Address || s.EndpointID != e.EndpointID {
		t.Errorf("got %+v", s)
	}
}
