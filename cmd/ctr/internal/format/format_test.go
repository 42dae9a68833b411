package format

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	apinet "github.com/moby/moby/api/types/network"

	"ctr/network"
)

var update = flag.Bool("update", false, "write the golden files")

var now = time.Date(2026, 11, 23, 15, 0, 0, 0, time.UTC)

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func published(ip string, public, private uint16) api.PortSummary {
	return api.PortSummary{IP: netip.MustParseAddr(ip), PublicPort: public, PrivatePort: private, Type: "tcp"}
}

func containers(noTrunc bool) []Container {
	web := api.Summary{
		ID: strings.Repeat("1f", 32), Names: []string{"/web"}, Image: "toolbox", ImageID: "sha256:" + strings.Repeat("ab", 32),
		Command: "nginx -g 'daemon off;' -c /etc/nginx", Created: now.Add(-3 * time.Minute).Unix(), State: "running", Status: "Up 3 minutes",
		Ports: []api.PortSummary{
			published("::", 8080, 80), published("0.0.0.0", 8080, 80), published("0.0.0.0", 9001, 9001), published("0.0.0.0", 9000, 9000),
			published("::", 9000, 9000), published("::", 9001, 9001),
			{PrivatePort: 443, Type: "tcp"},
			{PrivatePort: 444, Type: "tcp"},
		},
		Labels: map[string]string{"b": "2", "a": "1", "com.example.some-thing": "x"},
		NetworkSettings: &api.NetworkSettingsSummary{Networks: map[string]*apinet.EndpointSettings{
			"mynet": {IPAddress: netip.MustParseAddr("172.18.0.2")}, "back": {IPAddress: netip.MustParseAddr("172.19.0.2")},
		}},
		Mounts: []api.MountPoint{{Type: mount.TypeBind, Source: "/a/long/path/to/files"}, {Type: mount.TypeVolume, Name: "data", Driver: "local"}},
	}
	job := api.Summary{
		ID: strings.Repeat("2e", 32), Names: []string{"/job"}, Image: "busybox:latest", Command: "true",
		Created: now.Add(-30 * time.Hour).Unix(), State: "exited", Status: "Exited (0) 30 hours ago",
	}
	rows := []Container{{Summary: web, NoTrunc: noTrunc, Now: now}, {Summary: job, NoTrunc: noTrunc, Now: now}}
	rows[0].SizeOf = func() (int64, int64) { return 1093, 123456789 }
	return rows
}

func TestTables(t *testing.T) {
	t.Setenv("TZ", "UTC")
	time.Local = time.UTC
	images := []Image{
		{Repo: "busybox", TagName: "latest", ImageID: "sha256:" + strings.Repeat("0d", 32), ManifestID: "sha256:" + strings.Repeat("1d", 32), Created: now.Add(-100 * 24 * time.Hour), Bytes: 4261550, Now: now},
		{Repo: "<none>", TagName: "<none>", ImageID: "sha256:" + strings.Repeat("0e", 32), Bytes: 999, Now: now},
	}
	networks := []Network{
		{Spec: network.Spec{ID: strings.Repeat("b1", 32), Name: "bridge", Driver: "bridge", IPv4: true, Created: now}},
		{Spec: network.Spec{ID: strings.Repeat("b2", 32), Name: "none", Driver: "none", IPv4: true, Created: now, Labels: map[string]string{"k": "v"}}},
	}
	for _, test := range []struct {
		name  string
		write func(*bytes.Buffer) error
	}{
		{"ps", func(b *bytes.Buffer) error { return Write(b, Containers, Options{}, containers(false)) }},
		{"ps-empty", func(b *bytes.Buffer) error { return Write(b, Containers, Options{}, []Container(nil)) }},
		{"ps-no-trunc", func(b *bytes.Buffer) error { return Write(b, Containers, Options{}, containers(true)) }},
		{"ps-size", func(b *bytes.Buffer) error { return Write(b, ContainersWithSize, Options{}, containers(false)) }},
		{"ps-quiet", func(b *bytes.Buffer) error { return Write(b, Containers, Options{Quiet: true}, containers(false)) }},
		{"ps-json", func(b *bytes.Buffer) error { return Write(b, Containers, Options{Format: "json"}, containers(false)) }},
		{"ps-table", func(b *bytes.Buffer) error {
			f := `table {{.Names}}\t{{upper .State}}\t{{.Label "com.example.some-thing"}}\t{{.Mounts}}\t{{.Networks}}\t{{json .LocalVolumes}}\t{{truncate .Image 4}}\t{{.CreatedAt}}`
			return Write(b, Containers, Options{Format: f}, containers(false))
		}},
		{"ps-template", func(b *bytes.Buffer) error {
			f := `{{.Names}}:{{pad .State 1 2}}|{{.Labels}}|{{title .Image}}|{{join (split .Command " ") "+"}}|{{.IPAddresses}}`
			return Write(b, Containers, Options{Format: f}, containers(false))
		}},
		{"images", func(b *bytes.Buffer) error { return Write(b, Images, Options{}, images) }},
		{"images-digests", func(b *bytes.Buffer) error { return Write(b, ImagesWithDigest, Options{}, images) }},
		{"images-json", func(b *bytes.Buffer) error { return Write(b, Images, Options{Format: "json"}, images) }},
		{"network-ls", func(b *bytes.Buffer) error { return Write(b, Networks, Options{}, networks) }},
		{"network-ls-json", func(b *bytes.Buffer) error { return Write(b, Networks, Options{Format: "json"}, networks) }},
	} {
		var b bytes.Buffer
		if err := test.write(&b); err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		golden(t, test.name, b.Bytes())
	}
}

func TestBadTemplates(t *testing.T) {
	for _, f := range []string{"{{", "{{.Nope}}", "table {{.Nope", "{{foo .ID}}", "{{join .ID 1}}"} {
		if err := Write(&bytes.Buffer{}, Containers, Options{Format: f}, containers(false)); err == nil {
			t.Errorf("%q is taken", f)
		} else if strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "template parsing error: ") {
			t.Errorf("%q: %v", f, err)
		}
	}
}

func TestPortsGrouping(t *testing.T) {
	udp := api.PortSummary{PrivatePort: 53, Type: "udp"}
	for _, test := range []struct {
		in   []api.PortSummary
		want string
	}{
		{nil, ""},
		{[]api.PortSummary{udp}, "53/udp"},
		{[]api.PortSummary{published("0.0.0.0", 80, 80), published("::", 80, 80)}, "0.0.0.0:80->80/tcp, [::]:80->80/tcp"},
		{[]api.PortSummary{published("0.0.0.0", 80, 80), published("0.0.0.0", 82, 82), published("0.0.0.0", 81, 81)}, "0.0.0.0:80-82->80-82/tcp"},
		{[]api.PortSummary{published("0.0.0.0", 80, 80), published("0.0.0.0", 82, 82)}, "0.0.0.0:80->80/tcp, 0.0.0.0:82->82/tcp"},
		{[]api.PortSummary{published("127.0.0.1", 8080, 80), {PrivatePort: 443, Type: "tcp"}}, "443/tcp, 127.0.0.1:8080->80/tcp"},
		{[]api.PortSummary{{PrivatePort: 1, Type: "tcp"}, {PrivatePort: 2, Type: "tcp"}, {PrivatePort: 2, Type: "udp"}}, "1-2/tcp, 2/udp"},
	} {
		if got := ports(test.in); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestExecute(t *testing.T) {
	value := api.InspectResponse{ID: "abc", State: &api.State{Pid: 7, Status: "running"}, Config: &api.Config{Labels: map[string]string{"a": "b"}}}
	value.NetworkSettings = &api.NetworkSettings{Networks: map[string]*apinet.EndpointSettings{"n": {Gateway: netip.MustParseAddr("10.0.0.1")}}}
	for _, test := range []struct{ text, want string }{
		{"{{.ID}} {{.State.Pid}}", "abc 7\n"},
		{"{{.Id}} {{.State.Pid}}", "abc 7\n"},
		{`{{index .Config.Labels "a"}}`, "b\n"},
		{"{{json .Config.Labels}}", `{"a":"b"}` + "\n"},
		{`[{{.NetworkSettings.Networks.n.IPAddress}}{{range .NetworkSettings.Networks}}{{.Gateway}} {{.IPv6Gateway}}{{end}}]`, "[10.0.0.1 ]\n"},
		{`{{with .State}}{{$p := .Pid}}{{if $p}}{{printf "%d" $p}}{{else}}none{{end}}{{end}}`, "7\n"},
		{`{{range $k, $v := .Config.Labels}}{{println $k $v}}{{end}}`, "a b\n\n"},
	} {
		tmpl, err := Parse(test.text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Execute(tmpl, value)
		if err != nil || string(got) != test.want {
			t.Errorf("%s: got %q, %v, want %q", test.text, got, err, test.want)
		}
	}
	tmpl, err := Parse("{{.Nope.Deeper}}")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Execute(tmpl, value); err == nil {
		t.Error("an unknown field is taken")
	}
}
