package options

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"ctr/network"
	"ctr/runtime/container"
)

// check compares a result with what is wanted: a value, or an error's text.
func check[T any](t *testing.T, in string, got T, err error, want T, wantErr string) {
	t.Helper()
	switch {
	case wantErr != "" && (err == nil || err.Error() != wantErr):
		t.Errorf("%q: error %v, want %s", in, err, wantErr)
	case wantErr == "" && err != nil:
		t.Errorf("%q: %v", in, err)
	case wantErr == "" && !reflect.DeepEqual(got, want):
		t.Errorf("%q: got %+v, want %+v", in, got, want)
	}
}

func portsText(ports []network.Port) string {
	var out []string
	for _, p := range ports {
		host := ""
		if p.HostIP.IsValid() {
			host = p.HostIP.String()
		}
		if p.HostPortEnd != 0 {
			out = append(out, fmt.Sprintf("%s %d-%d>%d/%s", host, p.HostPort, p.HostPortEnd, p.ContainerPort, p.Protocol))
			continue
		}
		out = append(out, fmt.Sprintf("%s %d>%d/%s", host, p.HostPort, p.ContainerPort, p.Protocol))
	}
	return strings.Join(out, ", ")
}

func TestPorts(t *testing.T) {
	for _, test := range []struct{ in, want, err string }{
		{"80", " 0>80/tcp", ""},
		{"80/udp", " 0>80/udp", ""},
		{"80/SCTP", " 0>80/sctp", ""},
		{"8080:80", " 8080>80/tcp", ""},
		{"127.0.0.1:8080:80", "127.0.0.1 8080>80/tcp", ""},
		{"127.0.0.1::80/udp", "127.0.0.1 0>80/udp", ""},
		{"[::1]:8080:80", "::1 8080>80/tcp", ""},
		{"[::]::80", ":: 0>80/tcp", ""},
		{"::1:8080:80", "::1 8080>80/tcp", ""},
		{"8000-8002:80-82", " 8000>80/tcp,  8001>81/tcp,  8002>82/tcp", ""},
		{"80-81", " 0>80/tcp,  0>81/tcp", ""},
		{"8000-8010:80", " 8000-8010>80/tcp", ""},
		{"0:80", " 0>80/tcp", ""},
		{"[fe80::1%eth0]:8080:80", "fe80::1%eth0 8080>80/tcp", ""},
		{"published=8080,target=80", " 8080>80/tcp", ""},
		{"published=8080,target=80,protocol=udp", " 8080>80/udp", ""},
		{"foo", "", "invalid containerPort: foo"},
		{"0", "", "invalid containerPort: 0"},
		{"70000", "", "invalid containerPort: 70000"},
		{"3-1", "", "invalid containerPort: 3-1"},
		{"x:80", "", "invalid hostPort: x"},
		{"80:81:82:83", "", "invalid IP address: 80:81"},
		{"1-3:1-2", "", "invalid ranges specified for container and host Ports: 1-2 and 1-3"},
		{"1.2.3:80:80", "", "invalid IP address: 1.2.3"},
		{"80/foo", "", "invalid proto: foo"},
		{"80:", "", "no port specified: 80:<empty>"},
		{"", "", "no port specified: <empty>"},
		{"published=8080,foo=1", "", "invalid publish opts format: invalid field key foo"},
		{"published=8080", "", "invalid publish opts format: missing mandatory field target"},
		{"224.0.0.1:80:80", "", "invalid IP address: 224.0.0.1: no host has it for itself"},
		{"[ff02::1]:80:80", "", "invalid IP address: ff02::1: no host has it for itself"},
		{"[fe80::1]:80:80", "", "invalid IP address: fe80::1: each link may have it, say which: fe80::1%LINK"},
		{"0-5:80", "", "invalid hostPort: 0-5"},
		{" 80:80", "", "invalid hostPort:  80"},
		{"a=b,c", "", "invalid publish opts format (should be name=value but got 'c')"},
	} {
		ports, err := Ports([]string{test.in})
		check(t, test.in, portsText(ports), err, test.want, test.err)
	}
	ports, err := Ports([]string{"80:80", "80:80/tcp", "80:80/udp"})
	check(t, "twice", portsText(ports), err, " 80>80/tcp,  80>80/udp", "")
}

func TestThrottle(t *testing.T) {
	for _, test := range []struct {
		kind          container.ThrottleKind
		in, want, err string
	}{
		{container.ReadBytes, "/dev/sda:1mb", "{device-read-bps /dev/sda 1048576}", ""},
		{container.WriteBytes, "/dev//sda:0", "{device-write-bps /dev/sda 0}", ""},
		{container.ReadCalls, "/dev/sda:100", "{device-read-iops /dev/sda 100}", ""},
		{container.ReadCalls, "/dev/sda:1mb", "", "invalid rate for device: /dev/sda:1mb. The correct format is <device-path>:<number>. Number must be a positive integer"},
		{container.ReadBytes, "/dev/sda:x", "", "invalid rate for device: /dev/sda:x. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb"},
		{container.ReadBytes, "/sda:1", "", "bad format for device path: /sda:1"},
		{container.ReadBytes, "/dev/sda", "", "bad format: /dev/sda"},
		{container.ReadBytes, "/dev/sda:1:1", "", "bad format: /dev/sda:1:1"},
	} {
		got, err := Throttle(test.kind, test.in)
		check(t, test.in, fmt.Sprint(got), err, test.want, test.err)
	}
	for rule, ok := range map[string]bool{
		"c 10:200 rwm": true, "b *:* r": true, "a *:* m": true, "c 10:200": false, "x 1:1 r": false, "c 1:1 rwmx": false, "c 1:1 r\nb 1:1 r": false, "": false,
	} {
		if err := DeviceRule(rule); (err == nil) != ok {
			t.Errorf("%q: got %v", rule, err)
		}
	}
}

func TestCgroupParent(t *testing.T) {
	id := strings.Repeat("0a", 32)
	for _, test := range []struct{ in, want, err string }{
		{"", "", ""},
		{"/", "/", ""},
		{"/a//b/", "/a/b", ""},
		{"a/b", "a/b", ""},
		{"/system.slice/mine", "/system.slice/mine", ""},
		{"/mine.slice", "/mine.slice", ""},
		{"mine.slice", "", `invalid argument "mine.slice" for "--cgroup-parent" flag: ctr asks no systemd for a slice: give the path of its cgroup, such as /mine.slice`},
		{"../a", "", `invalid argument "../a" for "--cgroup-parent" flag: ".." in a path`},
		{"/a/.", "", `invalid argument "/a/." for "--cgroup-parent" flag: "." in a path`},
		{"a\nb", "", `invalid argument "a\nb" for "--cgroup-parent" flag: a control character in a path`},
		{"monitors", "", `invalid argument "monitors" for "--cgroup-parent" flag: the name "monitors" is ctr's own`},
		{"a/" + id, "", `invalid argument "a/` + id + `" for "--cgroup-parent" flag: the name "` + id + `" is ctr's own`},
		{"/a/tasks", "", `invalid argument "/a/tasks" for "--cgroup-parent" flag: the name "tasks" is the kernel's own`},
	} {
		got, err := CgroupParent(test.in)
		check(t, test.in, got, err, test.want, test.err)
	}
}

func TestExpose(t *testing.T) {
	for _, test := range []struct{ in, want, err string }{
		{"80", "[{tcp 80}]", ""},
		{"80-81/udp", "[{udp 80} {udp 81}]", ""},
		{"80:80", "", "invalid port format for --expose: 80:80"},
		{"foo", "", `invalid range format for --expose: foo, error: strconv.ParseUint: parsing "foo": invalid syntax`},
	} {
		got, err := Expose([]string{test.in})
		check(t, test.in, fmt.Sprint(got), err, test.want, test.err)
	}
}

func TestVolume(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	bind := func(src, dst string) container.Mount {
		return container.Mount{Type: container.MountBind, Source: src, Target: dst, CreateSource: true}
	}
	ro, shared := bind("/a", "/b"), bind("/a", "/b")
	ro.ReadOnly = true
	shared.Propagation = "rshared"
	for _, test := range []struct {
		in   string
		want container.Mount
		err  string
	}{
		{"/a:/b", bind("/a", "/b"), ""},
		{"/a/../c:/b/", bind("/c", "/b"), ""},
		{"/a:/b:ro", ro, ""},
		{"/a:/b:rw,z,rshared", shared, ""},
		{"./x:/b", bind(filepath.Join(here, "x"), "/b"), ""},
		{".:/b", bind(here, "/b"), ""},
		{"data:/b", container.Mount{Type: container.MountVolume, Source: "data", Target: "/b", CreateSource: true}, ""},
		{"/b", container.Mount{Type: container.MountVolume, Target: "/b", Anonymous: true, CreateSource: true}, ""},
		{"a:b:c:d", container.Mount{}, "invalid volume specification: 'a:b:c:d'"},
		{"/a:ro", container.Mount{}, "invalid volume specification: '/a:ro'"},
		{":/b", container.Mount{}, "invalid volume specification: ':/b'"},
		{"/a:/b:foo", container.Mount{}, "invalid mode: foo"},
		{"/a:/b:ro,rw", container.Mount{}, "invalid mode: ro,rw"},
		{"/a:b", container.Mount{}, "invalid mount path: 'b' mount path must be absolute"},
		{"/a:/", container.Mount{}, `invalid volume specification: '/a:/': invalid mount config for type "bind": invalid specification: destination can't be '/'`},
	} {
		got, err := Volume(test.in)
		check(t, test.in, got, err, test.want, test.err)
	}
}

func TestMount(t *testing.T) {
	for _, test := range []struct {
		in   string
		want container.Mount
		err  string
	}{
		{"type=bind,src=/a,dst=/b,ro", container.Mount{Type: "bind", Source: "/a", Target: "/b", ReadOnly: true}, ""},
		{"type=bind,source=/a,target=/b,readonly=false,bind-propagation=rslave", container.Mount{Type: "bind", Source: "/a", Target: "/b", Propagation: "rslave"}, ""},
		{"type=bind,source=/a,destination=/b,bind-nonrecursive", container.Mount{Type: "bind", Source: "/a", Target: "/b", NonRecursive: true}, ""},
		{"type=bind,src=/a,dst=/b,bind-recursive=disabled", container.Mount{Type: "bind", Source: "/a", Target: "/b", NonRecursive: true}, ""},
		{"type=bind,src=/a,dst=/b,ro,bind-recursive=writable", container.Mount{Type: "bind", Source: "/a", Target: "/b", ReadOnly: true, WritableBelow: true}, ""},
		{"type=bind,src=/a,dst=/b,bind-recursive=readonly,bind-propagation=rprivate,ro", container.Mount{Type: "bind", Source: "/a", Target: "/b", ReadOnly: true, Propagation: "rprivate"}, ""},
		{"type=bind,src=/a,dst=/b,bind-recursive=readonly", container.Mount{}, "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction"},
		{"type=bind,src=/a,dst=/b,ro,bind-recursive=readonly", container.Mount{}, "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction"},
		{"src=data,dst=/b,volume-subpath=a/b", container.Mount{Type: "volume", Source: "data", Target: "/b", Subpath: "a/b"}, ""},
		{"src=data,dst=/b,volume-subpath=../b", container.Mount{}, "subpath must be a relative path within the volume"},
		{"src=data,dst=/b,volume-subpath=/b", container.Mount{}, "subpath must be a relative path within the volume"},
		{"src=data,dst=/b,volume-label=a=b,volume-label=c", container.Mount{Type: "volume", Source: "data", Target: "/b", VolumeLabels: map[string]string{"a": "b", "c": ""}}, ""},
		{"src=data,dst=/b,volume-opt=type=nfs", container.Mount{Type: "volume", Source: "data", Target: "/b", VolumeOptions: map[string]string{"type": "nfs"}}, ""},
		{"src=data,dst=/b,volume-nocopy", container.Mount{Type: "volume", Source: "data", Target: "/b", NoCopy: true}, ""},
		{"dst=/b", container.Mount{Type: "volume", Target: "/b", Anonymous: true}, ""},
		{"type=tmpfs,dst=/b,tmpfs-size=1m,tmpfs-mode=1770", container.Mount{Type: "tmpfs", Target: "/b", Options: []string{"size=1048576", "mode=1770"}}, ""},
		{`type=bind,"src=/a,b",dst=/c`, container.Mount{Type: "bind", Source: "/a,b", Target: "/c"}, ""},
		{"foo", container.Mount{}, "invalid field 'foo' must be a key=value pair"},
		{"foo=bar", container.Mount{}, "unexpected key 'foo' in 'foo=bar'"},
		{"type=bind,src=/a", container.Mount{}, "target is required"},
		{"type=foo,dst=/x", container.Mount{}, `invalid mount config: mount type unknown: "foo"`},
		{"type=bind,tmpfs-size=1,dst=/x", container.Mount{}, "cannot mix 'tmpfs-*' options with mount type 'bind'"},
		{"type=bind,dst=/x", container.Mount{}, `invalid mount config for type "bind": field Source must not be empty`},
		{"type=bind,src=a,dst=/x", container.Mount{}, `invalid mount config for type "bind": invalid mount path: 'a' mount path must be absolute`},
		{"type=tmpfs,src=a,dst=/x", container.Mount{}, `invalid mount config for type "tmpfs": field Source must not be specified`},
		{"dst=x", container.Mount{}, "invalid mount path: 'x' mount path must be absolute"},
		{"type=bind,src=/a,dst=/b,ro=maybe", container.Mount{}, "invalid value for ro: maybe"},
	} {
		got, err := Mount(test.in)
		check(t, test.in, got, err, test.want, test.err)
	}
}

func TestTmpfs(t *testing.T) {
	for _, test := range []struct {
		in   string
		want container.Mount
		err  string
	}{
		{"/t", container.Mount{Type: "tmpfs", Target: "/t", CreateSource: true}, ""},
		{"/t:size=64m,mode=1777,noexec", container.Mount{Type: "tmpfs", Target: "/t", CreateSource: true, Options: []string{"size=64m", "mode=1777", "noexec"}}, ""},
		{"t", container.Mount{}, "invalid mount path: 't' mount path must be absolute"},
		{"/t:foo", container.Mount{}, `invalid tmpfs option ["foo"]`},
	} {
		got, err := Tmpfs(test.in)
		check(t, test.in, got, err, test.want, test.err)
	}
}

func TestEnv(t *testing.T) {
	file := filepath.Join(t.TempDir(), "env")
	text := "\xef\xbb\xbf# comment\n\n  A=1 # no comment\nB=\nHOME\nMISSING\nQ=\"quoted\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	lookup := func(name string) (string, bool) { return "/root", name == "HOME" }
	got, err := Env([]string{file}, []string{"X=a=b,c", "HOME", "GONE", "E="}, lookup)
	want := []string{"A=1 # no comment", "B=", "HOME=/root", `Q="quoted"`, "X=a=b,c", "HOME=/root", "E="}
	check(t, text, got, err, want, "")

	_, err = Env(nil, []string{"=a"}, lookup)
	check(t, "=a", "", err, "", `invalid argument "=a" for "-e, --env" flag: invalid environment variable: =a`)
	_, err = Env([]string{"/nonexistent"}, nil, lookup)
	check(t, "file", "", err, "", "open /nonexistent: no such file or directory")
	for in, want := range map[string]string{
		"a b=c\n": "variable 'a b' contains whitespaces",
		"=c\n":    "no variable name on line '=c'",
		"a=\xff":  `invalid utf8 bytes at line 1: "a=\xff"`,
	} {
		_, err := parsePairs(strings.NewReader(in), lookup)
		check(t, in, "", err, "", want)
	}
}

func TestLabels(t *testing.T) {
	got, err := Labels(nil, []string{"a=b=c", "d", "e="})
	check(t, "labels", got, err, map[string]string{"a": "b=c", "d": "", "e": ""}, "")
	_, err = Labels(nil, []string{"=x"})
	check(t, "=x", "", err, "", `invalid argument "=x" for "-l, --label" flag: invalid label '=x': empty name`)
}

func TestAttachment(t *testing.T) {
	for _, test := range []struct {
		in   string
		want network.EndpointSpec
		err  string
	}{
		{"mynet", network.EndpointSpec{Network: "mynet"}, ""},
		{"container:db", network.EndpointSpec{Network: "container:db"}, ""},
		{"ns:/run/netns/a=b", network.EndpointSpec{Network: "ns:/run/netns/a=b"}, ""},
		{
			"name=Net,alias=A,alias=b,ip=10.0.0.2,ip6=fd00::2,mac-address=02-42-AC-11-00-02,gw-priority=5,interface=lan0,driver-opt=k=v",
			network.EndpointSpec{
				Network: "Net", Aliases: []string{"A", "b"}, IPv4: netip.MustParseAddr("10.0.0.2"), IPv6: netip.MustParseAddr("fd00::2"),
				MAC: "02:42:ac:11:00:02", GwPriority: 5, Interface: "lan0", DriverOpts: map[string]string{"k": "v"},
			},
			"",
		},
		{"", network.EndpointSpec{}, "no name set for network"},
		{"name=", network.EndpointSpec{}, "network name/id is not specified"},
		{"alias=a", network.EndpointSpec{}, "network name/id is not specified"},
		{"foo=bar", network.EndpointSpec{}, "invalid field key foo"},
		{"name=a,b", network.EndpointSpec{}, "invalid field b"},
		{"name=a,ip=fd00::1", network.EndpointSpec{}, "invalid IPv4 address: fd00::1"},
		{"name=a,ip6=10.0.0.1", network.EndpointSpec{}, "invalid IPv6 address: 10.0.0.1"},
		{"name=a,mac-address=zz", network.EndpointSpec{}, "zz is not a valid mac address"},
		{"name=a,driver-opt=x", network.EndpointSpec{}, "invalid key value pair format in driver options"},
	} {
		got, err := Attachment(test.in)
		check(t, test.in, got, err, test.want, test.err)
	}
}

func TestNames(t *testing.T) {
	for _, test := range []struct{ in, err string }{
		{"web", ""},
		{"/web", ""},
		{"a", "invalid container name (a), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
		{"../x", "invalid container name (../x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
		{"a/b", "invalid container name (a/b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
		{"-rf", "invalid container name (-rf), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
		{"a\nb", "invalid container name (a\nb), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
	} {
		_, err := ContainerName(test.in)
		check(t, test.in, "", err, "", test.err)
	}
	if _, err := ContainerName(strings.Repeat("x", 300)); err == nil {
		t.Error("a name of 300 bytes is taken")
	}
	for try := range 1000 {
		if _, err := ContainerName(RandomName(try % 2)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHosts(t *testing.T) {
	for _, test := range []struct {
		in   string
		want network.ExtraHost
		err  string
	}{
		{"a:10.0.0.1", network.ExtraHost{Name: "a", IP: netip.MustParseAddr("10.0.0.1")}, ""},
		{"a=fd00::1", network.ExtraHost{Name: "a", IP: netip.MustParseAddr("fd00::1")}, ""},
		{"a:[fd00::1]", network.ExtraHost{Name: "a", IP: netip.MustParseAddr("fd00::1")}, ""},
		{"a:fd00::1", network.ExtraHost{Name: "a", IP: netip.MustParseAddr("fd00::1")}, ""},
		{"a:host-gateway", network.ExtraHost{Name: "a"}, ""},
		{"foo", network.ExtraHost{}, `invalid argument "foo" for "--add-host" flag: bad format for add-host: "foo"`},
		{"foo:bar", network.ExtraHost{}, `invalid argument "foo:bar" for "--add-host" flag: invalid IP address in add-host: "bar"`},
	} {
		got, err := AddHost(test.in)
		check(t, test.in, got, err, test.want, test.err)
	}
	for in, ok := range map[string]bool{
		"web": true, "a.example.com": true, "a_b": true, "x": true, "": false, "a b": false, "-a": false, "a-": false,
		"é": false, strings.Repeat("a", 64): true, strings.Repeat("a", 65): false, "a\n": false,
	} {
		if err := Hostname(in); (err == nil) != ok {
			t.Errorf("host name %q: %v", in, err)
		}
	}
	for in, want := range map[string]string{
		"a b": `invalid argument "a b" for "--dns-search" flag: a b is not a valid domain`, "corp.example": "", ".": "",
	} {
		_, err := SearchDomain(in)
		check(t, in, "", err, "", want)
	}
	_, err := DNSServer("foo")
	check(t, "foo", "", err, "", `invalid argument "foo" for "--dns" flag: IP address is not correctly formatted: foo`)
}

func TestResources(t *testing.T) {
	for _, test := range []struct {
		in   string
		want int64
		err  string
	}{
		{"1.5", 15e8, ""},
		{".5", 5e8, ""},
		{"foo", 0, `invalid argument "foo" for "--cpus" flag: failed to parse foo as a rational number`},
		{"0.0000000001", 0, `invalid argument "0.0000000001" for "--cpus" flag: value is too precise`},
		{"1e999999999", 0, `invalid argument "1e999999999" for "--cpus" flag: failed to parse 1e999999999 as a rational number`},
		{"-1", 0, `invalid argument "-1" for "--cpus" flag: value is out of range`},
	} {
		got, err := CPUs(test.in)
		check(t, test.in, got, err, test.want, test.err)
	}
	memory, err := Memory("512m")
	check(t, "512m", memory, err, 512<<20, "")
	_, err = Memory("foo")
	check(t, "foo", 0, err, 0, `invalid argument "foo" for "-m, --memory" flag: invalid size: 'foo'`)
	_, err = Memory("1m")
	check(t, "1m", 0, err, 0, "minimum memory limit allowed is 6MB")
	swap, err := MemorySwap("-1")
	check(t, "-1", swap, err, -1, "")
	limit, err := Ulimit("nofile=1024:2048")
	check(t, "nofile", limit, err, container.Ulimit{Name: "nofile", Soft: 1024, Hard: 2048}, "")
	_, err = Ulimit("foo=1")
	check(t, "foo=1", 0, err, 0, `invalid argument "foo=1" for "--ulimit" flag: invalid ulimit type: foo`)
}

func TestRestartPolicy(t *testing.T) {
	for _, test := range []struct {
		in   string
		want container.RestartPolicy
		err  string
	}{
		{"", container.RestartPolicy{}, ""},
		{"no", container.RestartPolicy{Name: "no"}, ""},
		{"on-failure:3", container.RestartPolicy{Name: "on-failure", MaxRetries: 3}, ""},
		{"on-failure:x", container.RestartPolicy{}, "invalid restart policy format: maximum retry count must be an integer"},
		{"always:3", container.RestartPolicy{}, "invalid restart policy: maximum retry count can only be used with 'on-failure'"},
		{":3", container.RestartPolicy{}, "invalid restart policy format: no policy provided before colon"},
		{"foo", container.RestartPolicy{}, "invalid restart policy: unknown policy 'foo'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"},
	} {
		got, err := RestartPolicy(test.in)
		check(t, test.in, got, err, test.want, test.err)
	}
}

func TestLog(t *testing.T) {
	got, err := Log("json-file", []string{"max-size=10m", "max-file=3"})
	check(t, "json-file", got, err, container.Log{
		Driver: "json-file", MaxSize: 10e6, MaxFile: 3, Options: map[string]string{"max-size": "10m", "max-file": "3"},
	}, "")
	_, err = Log("", []string{"env-regex=("})
	check(t, "regex", 0, err, 0, "invalid value for env-regex: error parsing regexp: missing closing ): `(`")
	_, err = Log("", []string{"tag={{"})
	check(t, "tag", 0, err, 0, "invalid value for tag: template: :1: unclosed action")
	_, err = Log("journald", []string{"nope=1"})
	check(t, "unknown", 0, err, 0, "unknown log opt 'nope' for journald log driver")
	_, err = Log("none", []string{"a=b"})
	check(t, "none", 0, err, 0, "invalid logging opts for driver none")
	l, err := Log("", []string{"max-file=3"}) // means something with max-size only, and is no error in Docker
	check(t, "max-file", l.MaxFile, err, 3, "")
	_, err = Log("foo", nil)
	check(t, "foo", 0, err, 0, "logger: no log driver named 'foo' is registered")
}

func TestSecurity(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "profile.json")
	if err := os.WriteFile(profile, []byte("{\n \"defaultAction\": \"SCMP_ACT_ALLOW\"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		in   string
		want container.Security
		err  string
	}{
		{"no-new-privileges", container.Security{NoNewPrivileges: true}, ""},
		{"no-new-privileges:true", container.Security{NoNewPrivileges: true}, ""},
		{"no-new-privileges=false", container.Security{}, ""},
		{"seccomp=unconfined", container.Security{Seccomp: "unconfined"}, ""},
		{"seccomp=" + profile, container.Security{Seccomp: `{"defaultAction":"SCMP_ACT_ALLOW"}`}, ""},
		{"apparmor=unconfined", container.Security{AppArmor: "unconfined"}, ""},
		{"systempaths=unconfined", container.Security{SystemPaths: "unconfined"}, ""},
		{"foo", container.Security{}, `Invalid --security-opt: "foo"`},
		{"seccomp=/nonexistent", container.Security{}, "opening seccomp profile (/nonexistent) failed: open /nonexistent: no such file or directory"},
	} {
		var got container.Security
		err := SecurityOpt(&got, test.in)
		check(t, test.in, got, err, test.want, test.err)
	}
}

func TestDevice(t *testing.T) {
	for _, test := range []struct {
		in   string
		want []container.Device
		err  string
	}{
		{"/dev/null", []container.Device{{Source: "/dev/null", Target: "/dev/null", Permissions: "rwm"}}, ""},
		{"/dev/null:r", []container.Device{{Source: "/dev/null", Target: "/dev/null", Permissions: "r"}}, ""},
		{"/dev/null:/dev/x", []container.Device{{Source: "/dev/null", Target: "/dev/x", Permissions: "rwm"}}, ""},
		{"/dev/null:/dev/x:rw", []container.Device{{Source: "/dev/null", Target: "/dev/x", Permissions: "rw"}}, ""},
		{"/dev/nul*", []container.Device{{Source: "/dev/null", Target: "/dev/null", Permissions: "rwm"}}, ""},
		{"/dev/null:/x:q", nil, "bad mode specified: q"},
		{"foo:bar:baz:x", nil, "bad format for path: foo:bar:baz:x"},
		{"foo", nil, "foo is not an absolute path"},
		{"/dev/null:x", nil, "x is not an absolute path"},
	} {
		got, err := Device(test.in)
		check(t, test.in, got, err, test.want, test.err)
	}
}

func TestSysctl(t *testing.T) {
	for in, ok := range map[string]bool{
		"net.ipv4.ip_forward=1": true, "kernel.msgmax=1": true, "fs.mqueue.msg_max=1": true, "kernel.panic=1": false, "foo=1": false,
		"net.ipv4.ip_forward": false, "net.=1": false, "net...=1": false, "net/../kernel/panic=1": false, "net.a/b=1": false,
	} {
		if _, _, err := Sysctl(in); (err == nil) != ok {
			t.Errorf("%q: %v", in, err)
		}
	}
	_, _, err := Sysctl("foo=1")
	check(t, "foo=1", "", err, "", `invalid argument "foo=1" for "--sysctl" flag: sysctl 'foo=1' is not allowed`)
}

func TestTime(t *testing.T) {
	zone := time.FixedZone("", 7200)
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, zone)
	for _, test := range []struct {
		in   string
		want time.Time
		err  string
	}{
		{"10m", now.Add(-10 * time.Minute), ""},
		{"1.5h", now.Add(-90 * time.Minute), ""},
		{"2026-11-23T10:00:00Z", now, ""},
		{"2026-11-23T12:00:00.5+02:00", now.Add(time.Second / 2), ""},
		{"2026-11-23T12:00", now, ""},
		{"2026-11-23", now.Add(-12 * time.Hour), ""},
		{"1700000000", time.Unix(1700000000, 0), ""},
		{"1700000000.25", time.Unix(1700000000, 25e7), ""},
		{"0", time.Unix(0, 0), ""},
		{"yesterday", time.Time{}, `failed to parse value as time or duration: "yesterday"`},
		{"", time.Time{}, `failed to parse value as time or duration: ""`},
	} {
		got, err := Time(test.in, now)
		check(t, test.in, got.UTC(), err, test.want.UTC(), test.err)
	}
}

func TestDetachKeys(t *testing.T) {
	for _, test := range []struct {
		in   string
		want []byte
		err  string
	}{
		{"", []byte{16, 17}, ""},
		{"ctrl-p,ctrl-q", []byte{16, 17}, ""},
		{"ctrl-@,ctrl-[,ctrl-_,a,DEL", []byte{0, 27, 31, 'a', 127}, ""},
		{"ctrl-", nil, `invalid detach keys (ctrl-): unknown character: "ctrl-"`},
		{"foo", nil, `invalid detach keys (foo): unknown character: "foo"`},
	} {
		got, err := DetachKeys(test.in)
		check(t, test.in, got, err, test.want, test.err)
	}
}

// No text makes a parser panic, run for ever or accept what nobody can mean.
func FuzzParsers(f *testing.F) {
	for _, s := range []string{
		"127.0.0.1:80-90:80/tcp", "[::1]:1-65535:1-65535", "/a:/b:ro,rshared", "type=bind,src=/a,dst=/b", "A=b", "net.a=1", "nofile=1:2",
		"name=a,ip=1.2.3.4,driver-opt=a=b", "1.5e9", "web:[::1]", "2026-11-23T10:00:00.5Z", "ctrl-a,b", "root:root", "/dev/nul*:r",
	} {
		f.Add(s)
	}
	none := func(string) (string, bool) { return "", false }
	f.Fuzz(func(t *testing.T, s string) {
		if ports, err := Port(s); err == nil {
			for _, p := range ports {
				if p.ContainerPort == 0 || p.HostPortEnd != 0 && p.HostPortEnd < p.HostPort {
					t.Errorf("port %q became %+v", s, p)
				}
			}
		}
		for kind, parse := range map[string]func(string) (container.Mount, error){"-v": Volume, "--mount": Mount, "--tmpfs": Tmpfs} {
			if m, err := parse(s); err == nil && (!filepath.IsAbs(m.Target) || filepath.Clean(m.Target) != m.Target || m.Target == "/") {
				t.Errorf("%s %q became %+v", kind, s, m)
			}
		}
		if env, err := Env(nil, []string{s}, none); err == nil {
			for _, e := range env {
				if name, _, ok := strings.Cut(e, "="); !ok || name == "" || strings.ContainsRune(e, 0) {
					t.Errorf("-e %q became %q", s, e)
				}
			}
		}
		if name, err := ContainerName(s); err == nil && (strings.ContainsAny(name, "/\x00\n ") || name[0] == '.' || name[0] == '-') {
			t.Errorf("name %q is taken", s)
		}
		if e, err := Attachment(s); err == nil && e.Network == "" {
			t.Errorf("--network %q has no name", s)
		}
		if name, _, err := Sysctl(s); err == nil && strings.Contains(name, "/") {
			t.Errorf("--sysctl %q is taken", s)
		}
		if n, err := CPUs(s); err == nil && n < 0 {
			t.Errorf("--cpus %q is %d", s, n)
		}
		_, _ = parsePairs(strings.NewReader(s), none)
		_, _ = Labels(nil, []string{s})
		_, _ = Ulimit(s)
		_, _ = Memory(s)
		_, _ = DNSServer(s)
		_, _ = SearchDomain(s)
		_, _ = AddHost(s)
		_, _ = RestartPolicy(s)
		_, _ = Capability(s)
		_, _ = DetachKeys(s)
		_, _ = Time(s, time.Unix(0, 0))
		_ = Hostname(s)
		_ = User(s)
	})
}
