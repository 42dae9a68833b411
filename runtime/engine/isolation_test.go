package engine

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"ctr/internal/testhost"
	"ctr/runtime/container"
)

// capsOf reads the five capability sets from the text of /proc/PID/status.
func capsOf(t *testing.T, status string) map[string]uint64 {
	t.Helper()
	caps := map[string]uint64{}
	for _, m := range regexp.MustCompile(`Cap(Inh|Prm|Eff|Bnd|Amb):\s*([0-9a-f]+)`).FindAllStringSubmatch(status, -1) {
		caps[m[1]], _ = strconv.ParseUint(m[2], 16, 64)
	}
	if len(caps) != 5 {
		t.Fatalf("no capabilities in:\n%s", status)
	}
	return caps
}

func TestCapabilitySets(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		own, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		bounding := capsOf(t, string(own))["Bnd"]
		const dockers, netAdmin, chown = 0xa80425fb, 1 << 12, 1 << 0
		root, alice := User{}, User{UID: 1000, GID: 1000}
		for _, test := range []struct {
			name      string
			security  container.Security
			user      User
			exec      ExecConfig
			want      uint64
			wantBound uint64
		}{
			{name: "root", user: root, want: dockers, wantBound: dockers},
			{name: "user", user: alice, want: 0, wantBound: dockers},
			{name: "add", security: container.Security{CapAdd: []string{"NET_ADMIN"}}, want: dockers | netAdmin, wantBound: dockers | netAdmin},
			{name: "drop", security: container.Security{CapDrop: []string{"chown"}}, want: dockers &^ chown, wantBound: dockers &^ chown},
			{name: "drop all", security: container.Security{CapDrop: []string{"ALL"}}},
			{name: "privileged", security: container.Security{Privileged: true}, want: bounding, wantBound: bounding},
			{name: "privileged user", security: container.Security{Privileged: true}, user: alice, want: 0, wantBound: bounding},
			{name: "ours lacks it", security: container.Security{CapAdd: []string{"SYS_RESOURCE"}}, want: dockers | bounding&(1<<24), wantBound: dockers | bounding&(1<<24)},
		} {
			c := b.config("sleep", "1000")
			c.Spec.Security, c.User = test.security, test.user
			x := b.start(c)
			status := func() string {
				if err := awaitProgram(x.Init()); err != nil {
					t.Fatal(err)
				}
				text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", x.Init().PID))
				if err != nil {
					t.Fatal(err)
				}
				return string(text)
			}
			check := func(who, status string, want, wantBound uint64) {
				t.Helper()
				got := capsOf(t, status)
				if got["Eff"] != want || got["Prm"] != want || got["Bnd"] != wantBound || got["Inh"] != 0 || got["Amb"] != 0 {
					t.Errorf("%s, %s: got %x, want %x of %x", test.name, who, got, want, wantBound)
				}
			}
			check("run", status(), test.want, test.wantBound)
			r, err := b.exec(c, ExecConfig{Args: []string{"cat", "/proc/self/status"}, User: test.user})
			if err != nil {
				t.Fatal(err)
			}
			check("exec", r.stdout, test.want, test.wantBound)
			r, err = b.exec(c, ExecConfig{Args: []string{"cat", "/proc/self/status"}, Privileged: true})
			if err != nil {
				t.Fatal(err)
			}
			check("exec --privileged", r.stdout, bounding, bounding)
		}
	})
}

func TestDevicesAndCgroupsAreOutOfReach(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		// In /dev, which is ours: the disk of the root file system may be mounted without devices.
		got := b.sh(b.config(), `
			mknod /dev/my-vda b 254 0 && echo made vda
			dd if=/dev/my-vda of=/dev/null count=1 2>&1 | grep -o 'Operation not permitted'
			mknod /dev/my-fuse c 10 229; head -c1 /dev/my-fuse 2>&1 | grep -o 'Operation not permitted'
			mknod /dev/my-tun c 10 200; head -c1 /dev/my-tun 2>&1 | grep -o 'Operation not permitted'
			mknod /dev/my-kmem c 1 2; head -c1 /dev/my-kmem 2>&1 | grep -o 'Operation not permitted'
			mknod /dev/my-zero c 1 5; head -c2 /dev/my-zero | wc -c
			for d in null zero full random urandom tty ptmx; do [ -c /dev/$d ] || echo no $d; done
			mkdir /tmp/cg; mount -t cgroup -o memory x /tmp/cg 2>/dev/null || echo no cgroup mount
			mount -o remount,rw /sys/fs/cgroup 2>/dev/null || echo no remount
			for f in $(find /sys/fs/cgroup -maxdepth 2 -name release_agent -o -maxdepth 2 -name cgroup.procs); do
				(echo 1 >$f) 2>/dev/null && echo wrote $f
			done
			unshare -UrC true 2>/dev/null || echo no cgroup namespace
			cut -d: -f3 /proc/self/cgroup | sort -u`)
		want := "made vda\n" + strings.Repeat("Operation not permitted\n", 4) + "2\n" +
			"no cgroup mount\nno remount\nno cgroup namespace\n/\n"
		if got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
	})
}

func TestLimitsBite(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		pids := int64(5)
		c := b.config("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait")
		c.Spec.Resources.PidsLimit = &pids
		if r := b.run(c); !strings.Contains(r.stderr, "can't fork") {
			t.Errorf("pids: got %+v", r)
		}

		c = b.config("dd", "if=/dev/zero", "of=/dev/shm/x", "bs=1M", "count=100")
		c.Spec.Resources.Memory = 64 << 20 // the init needs some too
		x, err := b.create(c, Stdio{})
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Release(); err != nil {
			t.Fatal(err)
		}
		code, err := x.Wait()
		if err != nil || code != 137 {
			t.Errorf("memory: got exit code %d, %v", code, err)
		}
		if oom, err := OOMKilled(c.StateDir, c.Spec.ID); !oom || err != nil {
			t.Errorf("memory: got %v, %v", oom, err)
		}
		if err := x.Destroy(); err != nil {
			t.Error(err)
		}

		c = b.config()
		c.Spec.Resources.Ulimits = []container.Ulimit{{Name: "nofile", Soft: 100, Hard: 200}}
		if got := b.sh(c, "ulimit -n; ulimit -Hn"); got != "100\n200\n" {
			t.Errorf("ulimit: got %q", got)
		}
		c = b.config()
		c.Spec.Resources.Ulimits = []container.Ulimit{{Name: "nofile", Soft: 1 << 40, Hard: 1 << 40}}
		c.Args = []string{"true"}
		if r, err := b.tryRun(c); err == nil && len(r.warnings) != 1 {
			t.Errorf("ulimit above ours: got %+v", r)
		} else if err != nil && !strings.Contains(err.Error(), "rlimit") { // with CAP_SYS_RESOURCE the kernel's own bound counts
			t.Errorf("ulimit above ours: got %v", err)
		}
	})
}

func TestSeccompProbes(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		cc := exec.Command("gcc", "-static", "-O1", "-o", filepath.Join(b.root, "bin/probe"), "testdata/probe/probe.c")
		if out, err := cc.CombinedOutput(); err != nil {
			t.Fatalf("compile the probe: %v\n%s", err, out)
		}
		probe := func(s container.Security) map[string]string {
			c := b.config("probe")
			if s.Seccomp == "" {
				c.Args = append(c.Args, "32")
			}
			c.Spec.Security = s
			r := b.run(c)
			if r.code != 0 {
				t.Fatalf("probe: %+v", r)
			}
			got := map[string]string{}
			for line := range strings.Lines(r.stdout) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
				got[name] = value
			}
			return got
		}
		for name, test := range map[string]struct {
			security container.Security
			want     map[string]string
		}{
			"default": {container.Security{}, map[string]string{
				"getpid": "0", "socket-inet": "0", "socket-alg": "EPERM", "socket-vsock": "EPERM",
				"unshare-user": "EPERM", "unshare-ns": "EPERM", "setns": "EPERM", "mount": "EPERM", "bpf": "EPERM",
				"io_uring_setup": "EPERM", "keyctl": "EPERM", "add_key": "EPERM", "clone3": "ENOSYS", "kexec_load": "EPERM",
				"open_by_handle_at": "EPERM", "userfaultfd": "EPERM", "no-such-call": "ENOSYS",
				"32:getpid": "0", "32:unshare": "EPERM", "32:mount": "EPERM",
			}},
			"no new privileges": {container.Security{NoNewPrivileges: true}, map[string]string{
				"socket-inet": "0", "socket-alg": "EPERM", "unshare-user": "EPERM", "clone3": "ENOSYS", "32:unshare": "EPERM",
			}},
			"SYS_ADMIN": {container.Security{CapAdd: []string{"SYS_ADMIN"}}, map[string]string{
				"unshare-user": "0", "unshare-ns": "0", "mount": "0", "keyctl": "EPERM", "io_uring_setup": "EPERM", "clone3": "EINVAL",
			}},
			"unconfined": {container.Security{Seccomp: unconfined}, map[string]string{
				"unshare-user": "0", "clone3": "EINVAL", "no-such-call": "ENOSYS",
			}},
			"own profile": {container.Security{Seccomp: `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["keyctl"],"action":"SCMP_ACT_ERRNO","errnoRet":99}]}`}, map[string]string{
				"keyctl": "EADDRNOTAVAIL", "socket-inet": "0",
			}},
		} {
			got := probe(test.security)
			for call, want := range test.want {
				if have, ok := got[call]; have != want && (ok || !strings.HasPrefix(call, "32:")) {
					t.Errorf("%s: %s ends with %s, want %s", name, call, have, want)
				}
			}
		}
	})
}

func TestSysctlsInTheContainer(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		c := b.config()
		c.Spec.Security.Sysctls = map[string]string{"net.core.somaxconn": "77", "kernel.shmmni": "78"}
		const show = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range " +
			"/proc/sys/net/core/somaxconn /proc/sys/kernel/shmmni | tr '\\t' ' '"
		if got := b.sh(c, show); got != "0\n0 2147483647\n77\n78\n" {
			t.Errorf("got %q", got)
		}
		host, err := os.ReadFile("/proc/sys/net/core/somaxconn")
		if err != nil || string(host) == "77\n" {
			t.Errorf("the host's somaxconn is %q, %v", host, err)
		}
		c = b.config()
		c.Spec.Network.Mode, c.NetNS = container.ModeHost, HostNS
		if got := b.sh(c, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"); got == "0\n" {
			t.Error("the host's sysctls were changed")
		}
	})
}

func TestWorkDirCannotLeadOut(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		target := b.config("sleep", "1000")
		b.start(target)
		if err := os.Symlink("/proc/self/fd", filepath.Join(b.root, "fds")); err != nil {
			t.Fatal(err)
		}
		for n := 3; n <= 30; n++ {
			patterns := []string{"/proc/self/fd/%d"}
			if n < 12 { // all that the init may have open
				patterns = append(patterns, "/fds/%d", "/proc/self/fd/%d/../../..")
			}
			for _, pattern := range patterns {
				dir := fmt.Sprintf(pattern, n)
				c := b.config("pwd")
				c.WorkDir = dir
				if r, err := b.tryRun(c); err == nil {
					t.Errorf("WORKDIR %s: got %+v", dir, r)
				}
				if r, err := b.exec(target, ExecConfig{Args: []string{"pwd"}, WorkDir: dir}); err == nil {
					t.Errorf("exec -w %s: got %+v", dir, r)
				}
			}
		}
		// Streams that nobody gave are the container's own null device.
		c := b.config()
		c.Args = []string{"sh", "-c", "stat -Lc %d /proc/self/fd/0 /dev/null | uniq | wc -l"}
		if r := b.run(c); r.stdout != "1\n" {
			t.Errorf("stdin is not the container's null device: %+v", r)
		}
		// 3 is that of ls itself.
		if got := b.sh(b.config(), "ls /proc/self/fd | tr '\\n' ' '"); got != "0 1 2 3 " {
			t.Errorf("open files in the container: %s", got)
		}
		r, err := b.exec(target, ExecConfig{Args: []string{"sh", "-c", "ls /proc/self/fd | tr '\\n' ' '"}})
		if err != nil || r.stdout != "0 1 2 3 " {
			t.Errorf("open files of exec: %+v, %v", r, err)
		}
	})
}

func TestSystemPaths(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		const script = `
			for f in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts /proc/sched_debug /proc/latency_stats; do
				[ -e $f ] && [ "$(head -c1 $f | wc -c)" != 0 ] && echo can read $f
			done
			for d in /proc/acpi /proc/scsi /sys/firmware /sys/devices/virtual/powercap /proc/asound; do
				[ -d $d ] && [ -n "$(ls $d)" ] && echo can list $d
			done
			for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/irq/default_smp_affinity; do
				[ -e $f ] && (exec 3>>$f) 2>/dev/null && echo can write $f
			done
			(exec 3>/sys/kernel/x) 2>/dev/null && echo can write /sys
			true`
		if got := b.sh(b.config(), script); got != "" {
			t.Errorf("by default:\n%s", got)
		}
		c := b.config()
		c.Spec.Security.Privileged = true
		if got := b.sh(c, script); !strings.Contains(got, "can write /proc/sys/kernel/core_pattern") {
			t.Errorf("privileged:\n%s", got)
		}
		c = b.config()
		c.Spec.Rootfs.ReadOnly = true
		got := b.sh(c, "(echo >/x) 2>&1 | grep -o 'Read-only file system'; echo ok >/dev/shm/x && cat /dev/shm/x")
		if got != "Read-only file system\nok\n" {
			t.Errorf("--read-only: got %q", got)
		}
	})
}

func TestOwnBinaryIsSafe(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		binary := func() string {
			text, err := os.ReadFile("/proc/self/exe")
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		before := binary()
		b.write("/bin/evil", "#!/proc/self/exe\n", 0o755)
		c := b.config("sh", "-c", "while :; do for p in /proc/[0-9]*; do (exec 3>>$p/exe) 2>/dev/null && echo >/hit; done; done")
		b.start(c)
		for range 20 {
			b.exec(c, ExecConfig{Args: []string{"/bin/evil"}})
		}
		if _, err := os.Stat(filepath.Join(b.root, "hit")); err == nil {
			// busybox itself, running, is the only thing that could be opened, and ETXTBSY keeps it from that.
			t.Error("an executable could be opened for writing")
		}
		if binary() != before {
			t.Error("our binary was changed")
		}
		c = b.config()
		c.Spec.Security.NoNewPrivileges = true
		if got := b.sh(c, "grep NoNewPrivs /proc/self/status"); got != "NoNewPrivs:\t1\n" {
			t.Errorf("got %q", got)
		}
	})
}

// An image decides what its root file system holds, but not where on the host things are made.
func TestEvilRootfs(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		outside := filepath.Join(h.Dir, "outside")
		for _, path := range []string{"dev", "proc", "sys", "etc", "etc/hosts", "tmp/work", "dev/shm"} {
			for _, kind := range []string{"link", "relative link", "file"} {
				if err := os.RemoveAll(outside); err != nil {
					t.Fatal(err)
				}
				if err := os.Mkdir(outside, 0o755); err != nil {
					t.Fatal(err)
				}
				b := newBox(t, h)
				where := filepath.Join(b.root, path)
				if err := os.RemoveAll(where); err != nil {
					t.Fatal(err)
				}
				var err error
				switch kind {
				case "link":
					err = os.Symlink(outside, where)
				case "relative link":
					err = os.Symlink("../../../../../../../.."+outside, where)
				default:
					err = os.WriteFile(where, []byte("x"), 0o755)
				}
				if err != nil {
					t.Fatal(err)
				}
				c := b.config("true")
				c.WorkDir = "/tmp/work/dir"
				c.Binds = []Bind{{Source: filepath.Join(b.root, "bin/busybox"), Target: "/etc/hosts"}}
				// Whether it runs is the image's business.
				if r, err := b.tryRun(c); err != nil {
					t.Logf("%s is a %s: %v", path, kind, err)
				} else if r.code != 0 {
					t.Errorf("%s is a %s: got %+v", path, kind, r)
				}
				if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
					t.Errorf("%s is a %s: made on the host: %v, %v", path, kind, entries, err)
				}
				b.nothingLeft()
				if err := os.RemoveAll(b.root); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
