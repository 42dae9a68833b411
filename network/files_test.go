package network_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ctr/internal/testhost"
	"ctr/network"
)

// file reads one of a container's files.
func file(t *testing.T, s network.SandboxSpec, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestFiles(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		if err := os.WriteFile("/etc/resolv.conf", []byte("nameserver 127.0.0.53\noptions edns0\nsearch lan\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll("/run/systemd/resolve", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("/run/systemd/resolve/resolv.conf", []byte("nameserver 192.0.2.1\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("/etc/hosts", []byte("192.0.2.99 hosts-own\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		n := open(t, h.Root, h.RunRoot)
		create(t, n, network.Spec{Name: "mynet"})
		extra := []network.ExtraHost{{Name: "out"}, {Name: "seven", IP: netip.MustParseAddr("192.0.2.7")}}

		a := container(t, h.RunRoot, "a", "bridge")
		setup(t, n, a)
		if got := file(t, a, "resolv.conf"); !strings.Contains(got, "nameserver 192.0.2.1\n") || strings.Contains(got, "nameserver 127.") {
			t.Errorf("resolv.conf behind systemd-resolved:\n%s", got)
		}
		b := container(t, h.RunRoot, "b", "mynet")
		b.Hostname, b.Domainname, b.ExtraHosts = "www", "example.com", extra
		inode := func() os.FileInfo {
			info, err := os.Stat(filepath.Join(b.Dir, "hosts"))
			if err != nil {
				t.Fatal(err)
			}
			return info
		}
		made := setup(t, n, b)
		first := inode()
		if got := file(t, b, "resolv.conf"); !strings.Contains(got, "nameserver 127.0.0.11\nsearch lan\noptions edns0 ndots:0\n") ||
			!strings.Contains(got, "ExtServers: [host(127.0.0.53)]") {
			t.Errorf("resolv.conf:\n%s", got)
		}
		if got := file(t, b, "hosts"); !strings.HasSuffix(got, "172.18.0.1\tout\n192.0.2.7\tseven\n172.18.0.2\twww.example.com www\n") {
			t.Errorf("hosts:\n%s", got)
		}
		if got := file(t, b, "hostname"); got != "www\n" {
			t.Errorf("hostname %q", got)
		}
		down(t, n, made)
		setup(t, n, b)
		if !os.SameFile(first, inode()) || inode().Mode().Perm() != 0o644 {
			t.Error("the hosts file that may be mounted somewhere was replaced by another")
		}

		c := container(t, h.RunRoot, "c")
		if err := n.HostFiles(c); err != nil {
			t.Fatal(err)
		}
		if conf, hosts := file(t, c, "resolv.conf"), file(t, c, "hosts"); !strings.Contains(conf, "127.0.0.53") || hosts != "192.0.2.99 hosts-own\n" {
			t.Errorf("of a container on the host's network:\n%s\n%s", conf, hosts)
		}
		c.ExtraHosts, c.Resolver.Servers = extra, []netip.Addr{netip.MustParseAddr("192.0.2.8")}
		if err := n.HostFiles(c); err != nil {
			t.Fatal(err)
		}
		if conf, hosts := file(t, c, "resolv.conf"), file(t, c, "hosts"); !strings.Contains(conf, "nameserver 192.0.2.8\nsearch lan\n") ||
			!strings.Contains(hosts, "127.0.0.1\tout\n") {
			t.Errorf("with wishes:\n%s\n%s", conf, hosts)
		}
		for _, bad := range []string{"a b", "a\nb", "\x7f"} {
			d := container(t, h.RunRoot, "d")
			d.Hostname = bad
			if err := n.HostFiles(d); err == nil {
				t.Errorf("the host name %q was written", bad)
			}
		}
	})
}

func TestPublishedPorts(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		create(t, n, network.Spec{Name: "mynet"})
		create(t, n, network.Spec{Name: "bound", Options: map[string]string{network.OptHostBinding: "127.0.0.1"}})
		create(t, n, network.Spec{Name: "inner", Internal: true})
		s := container(t, h.RunRoot, "a", "inner", "mynet")
		s.Ports = []network.Port{
			{Protocol: network.TCP, HostPort: 8080, ContainerPort: 80},
			{Protocol: network.UDP, ContainerPort: 53},
		}
		made := setup(t, n, s)
		if p := made.Record.Ports; len(p) != 2 || p[0].HostPort != 8080 || p[1].HostPort == 0 || len(made.Ports) != 2 {
			t.Errorf("ports %+v", p)
		}
		endpoint := made.Record.Endpoints[1].IPv4.Addr()
		if got := made.Record.Targets(made.Record.Ports[0]); len(got) != 1 || got[0] != netip.AddrPortFrom(endpoint, 80) {
			t.Errorf("the port leads to %v", got)
		}
		if got := must(t, nil, "nft", "list", "ruleset"); !strings.Contains(got, endpoint.String()+" . 80") {
			t.Errorf("no rule leads to %s: %s", endpoint, got)
		}
		again := container(t, h.RunRoot, "b", "mynet")
		again.Ports = s.Ports[:1]
		before := census(t, h)
		if _, err := n.Setup(t.Context(), again, made.Record.Owner, nil, nil); err == nil || !strings.Contains(err.Error(), "port is already allocated") {
			t.Errorf("a port twice: %v", err)
		}
		settled(t, func() string { return census(t, h).Diff(before) })
		down(t, n, made)
		if got := must(t, nil, "nft", "list", "ruleset"); strings.Contains(got, endpoint.String()+" . 80") {
			t.Errorf("a rule is left: %s", got)
		}
		again.Endpoints[0].Network = "bound"
		if p := setup(t, n, again).Record.Ports; len(p) != 1 || p[0].HostIP.String() != "127.0.0.1" {
			t.Errorf("the network's host binding was not taken: %+v", p)
		}
		inner := container(t, h.RunRoot, "c", "inner")
		inner.Ports = []network.Port{{Protocol: network.TCP, HostPort: 9090, ContainerPort: 80}}
		if made := setup(t, n, inner); len(made.Ports) != 0 || len(made.Warnings) != 1 {
			t.Errorf("an internal network publishes %+v, with warnings %q", made.Ports, made.Warnings)
		}
	})
}
