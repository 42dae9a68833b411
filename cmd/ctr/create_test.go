package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// parse runs the flags of a command line of `run` or `create` through the parsers, and nothing else.
func parse(t *testing.T, line ...string) (runOptions, error) {
	t.Helper()
	a := testApp(t)
	var o runOptions
	for _, c := range a.cli.Commands {
		switch c.Name {
		case "run":
			c.Action = func(ctx *cli.Context) (err error) {
				o, err = a.parseRun(ctx)
				return err
			}
		case "create":
			c.Action = func(ctx *cli.Context) (err error) {
				o.createOptions, err = a.parseCreate(ctx)
				return err
			}
		}
	}
	_, err := a.run(t.Context(), append([]string{"ctr"}, line...))
	return o, err
}

// TestContradictions has Docker's words for what makes no sense.
func TestContradictions(t *testing.T) {
	const net = "--network container:db "
	for _, test := range []struct {
		in, want string
		code     int
	}{
		{net + "-p 80:80 x", "conflicting options: port publishing and the container type network mode", 125},
		{net + "-P x", "conflicting options: port publishing and the container type network mode", 125},
		{net + "--expose 80 x", "conflicting options: port exposing and the container type network mode", 125},
		{net + "--dns 1.1.1.1 x", "conflicting options: dns and the network mode", 125},
		{net + "--add-host a:1.1.1.1 x", "conflicting options: custom host-to-IP mapping and the network mode", 125},
		{net + "--hostname a x", "conflicting options: hostname and the network mode", 125},
		{net + "--mac-address 02:42:ac:11:00:02 x", "conflicting options: mac-address and the network mode", 125},
		{"--network host --mac-address 02:42:ac:11:00:02 x", "conflicting options: mac-address and the network mode", 125},
		{"--network name=none,interface=a0 x", "conflicting options: interface, gw-priority or driver-opt and the network mode", 125},
		{net + "--ip 10.0.0.1 x", "conflicting options: IP address and the container type network mode", 125},
		{"--network host --ip 10.0.0.1 x", "user-specified IP address is supported on user-defined networks only", 125},
		{"--network container: x", "invalid container format container:<name|id>", 125},
		{"--network a --network a x", `network "a" is specified multiple times`, 125},
		{"--network a --network host x", "conflicting options: cannot attach both user-defined and non-user-defined network-modes", 125},
		{"--network bridge --network-alias q x", "network-scoped aliases are only supported for user-defined networks", 125},
		{"--network-alias q x", "network-scoped aliases are only supported for user-defined networks", 125},
		{"--ip 172.17.0.9 x", "user-specified IP address is supported on user-defined networks only", 125},
		{"--network name=a,alias=b --network-alias c x", "conflicting options: cannot specify both --network-alias and per-network alias", 125},
		{"--network a,b=c,d x", `invalid argument "a,b=c,d" for "--network" flag: invalid field a`, 125},
		{"--uts host --hostname a x", "conflicting options: hostname and the UTS mode", 125},
		{"--pid foo x", `--pid: invalid PID mode: "foo"`, 125},
		{"--pid container: x", `--pid: invalid PID mode: "container:"`, 125},
		{"--rm --restart always x", "conflicting options: cannot specify both --restart and --rm", 125},
		{"-d -a stdout x", "conflicting options: cannot specify both --attach and --detach", 1},
		{"-it x", "cannot attach stdin to a TTY-enabled container because stdin is not a terminal", 1},
		{"-a foo x", `invalid argument "foo" for "-a, --attach" flag: valid streams are STDIN, STDOUT and STDERR`, 125},
		{"--pull foo x", `invalid pull option: 'foo': must be one of "always", "missing" or "never"`, 125},
		{"--mount foo x", `invalid argument "foo" for "--mount" flag: invalid field 'foo' must be a key=value pair`, 125},
		{"-v /a:/b -v /c:/b x", "Duplicate mount point: /b", 125},
		{"--cpus 1 --cpu-quota 5 x", "conflicting options: Nano CPUs and CPU Period cannot both be set", 125},
		{"--stop-timeout x x", `invalid argument "x" for "--stop-timeout" flag: strconv.ParseInt: parsing "x": invalid syntax`, 125},
		{"--rm=foo x", `invalid argument "foo" for "--rm" flag: parse error`, 125},
		{"--health-cmd a --no-healthcheck x", "--no-healthcheck conflicts with --health-* options", 125},
		{"-w a x", "the working directory 'a' is invalid, it needs to be an absolute path", 125},
		{"", "'ctr run' requires at least 1 argument", 1},
	} {
		_, err := parse(t, append([]string{"run"}, strings.Fields(test.in)...)...)
		if err == nil || err.Error() != test.want || exitCode("run", err) != test.code {
			t.Errorf("%s: got %v (%d), want %s (%d)", test.in, err, exitCode("run", err), test.want, test.code)
		}
	}
}

func TestAccepted(t *testing.T) {
	for _, in := range []string{"-d --rm x", "-dit x", "-t x", "-d -t x", "--network host -p 80:80 x", "--network container:db --dns-option ndots:0 x", "--rm --restart no x"} {
		if _, err := parse(t, append([]string{"run"}, strings.Fields(in)...)...); err != nil {
			t.Errorf("%s: %v", in, err)
		}
	}
}

// TestSpec shows what becomes of flags: a golden file.
func TestSpec(t *testing.T) {
	t.Setenv("FROM_OUTSIDE", "yes")
	o, err := parse(t, "create", "--name", "web", "-it", "-e", "A=1,2", "-e", "FROM_OUTSIDE", "-e", "GONE", "-e", "B= c ", "--entrypoint", "", "-w", "/w", "-u", "1:2", "-h", "host",
		"--network", "name=mynet,alias=www,ip=10.0.0.9", "--network", "back", "-p", "8080-8081:80-81", "-p", "[::1]::53/udp", "--expose", "90",
		"--dns", "10.0.0.53", "--dns-search", ".", "--dns-option", "ndots:1", "--add-host", "a:host-gateway", "--add-host", "b=fd00::1",
		"-v", "/src:/dst:ro", "--mount", "type=volume,src=data,dst=/data", "--tmpfs", "/tmp:size=1m", "--read-only", "--pid", "container:db", "--ipc", "host",
		"--cap-add", "net_admin", "--cap-drop", "ALL", "--privileged", "--security-opt", "no-new-privileges", "--sysctl", "net.ipv4.ip_forward=1", "--device", "/dev/null:/dev/x:r",
		"--restart", "on-failure:3", "--stop-signal", "INT", "--stop-timeout", "3", "--init", "--label", "a=b=c", "--label", "d= e ", "-m", "64m", "--cpus", "1.5", "--pids-limit", "-1",
		"--ulimit", "nofile=10:20", "--log-opt", "max-size=1m", "--log-opt", "max-file=2", "--health-cmd", "true", "--health-interval", "3s",
		"busybox", "ls", "-l", "--name", "x")
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(o.spec, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	path := filepath.Join("testdata", "spec.golden")
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("got\n%s", got)
	}
}

func TestForeground(t *testing.T) {
	o, err := parse(t, "run", "-i", "busybox", "cat")
	if err != nil {
		t.Fatal(err)
	}
	if a := o.spec.Attach; !a.Stdin || !a.Stdout || !a.Stderr || !o.spec.StdinOnce || !o.spec.OpenStdin {
		t.Errorf("run -i: %+v", o.spec)
	}
	if o, err = parse(t, "run", "-d", "-i", "busybox", "cat"); err != nil {
		t.Fatal(err)
	}
	if a := o.spec.Attach; a.Stdin || a.Stdout || a.Stderr || o.spec.StdinOnce || !o.spec.OpenStdin {
		t.Errorf("run -d -i: %+v", o.spec)
	}
	if o, err = parse(t, "run", "-a", "stderr", "busybox"); err != nil {
		t.Fatal(err)
	}
	if a := o.spec.Attach; a.Stdin || a.Stdout || !a.Stderr {
		t.Errorf("run -a stderr: %+v", o.spec)
	}
}
