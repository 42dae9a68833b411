package cgroupfs

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFind(t *testing.T) {
	t.Parallel()
	const v1, v2 = unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC
	for _, test := range []struct {
		name, own string
		mounts    map[string]int64 // below /sys/fs/cgroup
		want      map[string]string
	}{
		{"version 2", "0::/user.slice\n", map[string]int64{".": v2}, map[string]string{"": "."}},
		{
			"version 1", "3:memory:/\n2:cpu,cpuacct:/a:b\n1:name=systemd:/\n",
			map[string]int64{"memory": v1, "cpu,cpuacct": v1, "cpu": v1, "cpuacct": v1, "systemd": v1},
			map[string]string{"memory": "memory", "cpu": "cpu,cpuacct", "cpuacct": "cpu,cpuacct", "name=systemd": "systemd"},
		},
		{
			"hybrid, with a hierarchy of somebody's own", "2:name=openrc:/\n1:pids:/\n0::/\n",
			map[string]int64{"pids": v1, "unified": v2, "openrc": v1},
			map[string]string{"pids": "pids", "": "unified"},
		},
		{
			"not mounted, or not what it seems", "4:memory:/\n3:cpu,cpuacct:/\n1:pids:/\n0::/\n",
			map[string]int64{"cpu": v1, "pids": unix.TMPFS_MAGIC, "unified": v1},
			map[string]string{"cpu": "cpu"},
		},
		{"nothing", "", nil, map[string]string{}},
	} {
		got := find(test.own, func(path string) int64 {
			name, err := filepath.Rel(mountPoint, path)
			if err != nil {
				t.Fatal(err)
			}
			return test.mounts[name]
		})
		for name, root := range test.want {
			test.want[name] = filepath.Join(mountPoint, root)
		}
		if !maps.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// On this machine, whatever it has.
func TestDirs(t *testing.T) {
	t.Parallel()
	roots, err := Roots()
	if err != nil {
		t.Fatal(err)
	}
	dirs := Dirs("/")
	if len(dirs) == 0 || len(dirs) > len(roots) {
		t.Errorf("%d folders of the first cgroup: %q; the roots are %v", len(dirs), dirs, roots)
	}
	if _, err := os.Stat(mountPoint + "/cgroup.controllers"); Version2() != (err == nil) {
		t.Errorf("version 2 alone: %v, but %v", Version2(), err)
	}
	if dirs := Dirs("/no such cgroup"); len(dirs) != 0 {
		t.Errorf("found %q", dirs)
	}
}
