package engine

import (
	"testing"

	"ctr/internal/testhost"
	"ctr/runtime/container"
)

// What is prebuilt must look as what libcontainer builds, but for one thing: the tmpfs that holds the cgroups is read-only
// too.
func TestPrebuiltLooksAlike(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		b := newBox(t, h)
		const look = `cd /dev && ls -ln | sed -E 's/ [A-Z][a-z]{2} +[0-9]+ +[0-9:]+ / /' | grep -v '^total'
			ls /sys/fs/cgroup
			sort /proc/mounts | grep -vE ' /(proc|sys/(firmware|devices|fs/selinux)|dev/console)' |
				sed -E 's/,?(inode64|relatime|strictatime|size=[0-9]+k|cpu|cpuacct|cpuset|memory|devices|freezer|blkio|pids|xattr|name=systemd)//g; s/^[a-z]+ (.* cgroup)/x \1/; s/(cgroup tmpfs) rw/\1 ro/' | sort
			stat -c '%a %n' /dev /dev/shm /dev/pts/ptmx /sys/fs/cgroup /sys/fs/cgroup/*`
		for name, change := range map[string]func(*Config){
			"default":    func(*Config) {},
			"host IPC":   func(c *Config) { c.IPCNS = HostNS },
			"privileged": func(c *Config) { c.Spec.Security.Privileged = true },
			"own shm": func(c *Config) {
				c.Mounts = []container.Mount{{Type: container.MountTmpfs, Target: "/dev/shm", Options: []string{"size=1m"}}}
			},
			"files": func(c *Config) {
				c.Binds = []Bind{{Source: b.root + "/etc/group", Target: "/etc/hosts"}, {Source: b.root + "/etc/group", Target: "/etc/passwd"}}
			},
		} {
			prebuilt, plain := b.config(), b.config()
			plain.plain = true
			change(&prebuilt)
			change(&plain)
			if got, want := b.sh(prebuilt, look), b.sh(plain, look); got != want {
				t.Errorf("%s: prebuilt:\n%s\nplain:\n%s", name, got, want)
			}
		}
	})
}
