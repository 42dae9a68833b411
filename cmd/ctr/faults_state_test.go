package main_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/internal/proc"
)

// damages are what may have become of a file.
var damages = map[string]func(path string, content []byte) error{
	"half":   func(path string, content []byte) error { return os.WriteFile(path, content[:len(content)/2], 0o600) },
	"empty":  func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o600) },
	"zeroed": func(path string, content []byte) error { return os.WriteFile(path, make([]byte, len(content)), 0o600) },
	"newer": func(path string, content []byte) error {
		return os.WriteFile(path, []byte(strings.Replace(string(content), `"version":1`, `"version":99`, 1)), 0o600)
	},
	"other": func(path string, _ []byte) error {
		return os.WriteFile(path, []byte(`{"version":1,"id":["a"],"pid":-1}`), 0o600)
	},
	"folder": func(path string, _ []byte) error { return os.MkdirAll(filepath.Join(path, "x"), 0o700) },
	"fifo":   func(path string, _ []byte) error { return unix.Mkfifo(path, 0o600) },
	"link":   func(path string, _ []byte) error { return os.Symlink("/dev/zero", path) },
	"loop":   func(path string, _ []byte) error { return os.Symlink(path, path) },
	"gone":   func(string, []byte) error { return nil },
}

// Whatever becomes of a file that tells of a container, the others are shown and it can be removed.
func TestB7DamagedState(t *testing.T) {
	t.Parallel()
	for _, file := range []string{
		"data/container.json", "data/exit.json", "data/hosts", "data/resolv.conf", "run/monitor.json", "run/engine.json", "run/sandbox.json",
		"run/attach.sock", "run/stdout",
	} {
		t.Run(strings.ReplaceAll(file, "/", "_"), func(t *testing.T) {
			faults(t, func(v *victims) {
				for name, damage := range damages {
					v.damaged(file, name, damage)
				}
			})
		})
	}
}

// damaged damages a file of a running container.
func (v *victims) damaged(file, how string, damage func(string, []byte) error) {
	v.Helper()
	v.must("run", "-d", "--name", "other", "--network", "net", "busybox", "sleep", "1000")
	id := v.run1(1)
	path := filepath.Join(v.h.RunRoot, "containers", id, filepath.Base(file))
	if strings.HasPrefix(file, "data/") {
		path = filepath.Join(v.h.Root, "containers", id, filepath.Base(file))
	}
	info, err := os.Lstat(path)
	if err != nil {
		v.Fatal(err)
	}
	var content []byte
	if info.Mode().IsRegular() {
		content, err = os.ReadFile(path)
	}
	if err := errors.Join(err, os.Remove(path), damage(path, content)); err != nil {
		v.Fatalf("%s %s: %v", file, how, err)
	}
	ps := v.try("ps", "-a", "--format", "{{.Names}} {{.State}}")
	if !strings.Contains(ps.stdout, "other running") || ps.took > 15*time.Second {
		v.Errorf("%s %s: ps after %v: %s %s", file, how, ps.took, ps.stdout, ps.stderr)
	}
	v.must("rm", "-f", "other")
	if o := v.try("rm", "-f", "c1"); o.code != 0 || o.took > 20*time.Second {
		v.Errorf("%s %s: rm -f after %v: exit code %d: %s", file, how, o.took, o.code, o.stderr)
	}
	v.must(runArgs("c1")...)
	v.must("rm", "-f", "c1")
	if diff := settled(v.h, v.before); diff != "" {
		v.Fatalf("%s %s: left behind:\n%s", file, how, diff)
	}
}

// A damaged record of a network hides neither the others nor the containers, and the network can be removed.
func TestB7DamagedNetwork(t *testing.T) {
	faults(t, func(v *victims) {
		for how, damage := range damages {
			id := v.must("network", "create", "bad")
			path := filepath.Join(v.h.Root, "networks", id, "network.json")
			content, err := os.ReadFile(path)
			if err := errors.Join(err, os.Remove(path), damage(path, content)); err != nil {
				v.Fatalf("%s: %v", how, err)
			}
			for _, list := range [][]string{{"ps", "-a"}, {"network", "ls"}} {
				if o := v.try(list...); o.took > 15*time.Second || list[0] == "network" && !strings.Contains(o.stdout, "net ") {
					v.Errorf("%s: %s: %+v", how, list, o)
				}
			}
			if o := v.try("network", "rm", "bad"); o.code != 0 && !strings.Contains(o.stderr, "not found") {
				v.Errorf("%s: %+v", how, o)
			}
			v.must("network", "create", "bad")
			v.must("network", "rm", "bad")
			if diff := settled(v.h, v.before); diff != "" {
				v.Fatalf("%s: left behind:\n%s", how, diff)
			}
		}
	})
}

// removals are the parts of a running container that somebody may remove by hand; each is a script that is given the ID.
var removals = []string{
	`rm -f /run/netns/c1`,
	`rm -rf "$CTR_RUN_ROOT/containers/$1"`,
	`rm -rf "$CTR_RUN_ROOT"/networks/*/leases`,
	`nft flush ruleset`,
	// One that is gone by then is good: the kernel takes links down after their namespaces.
	`ip -o link show type veth | sed 's/^[0-9]*: \([^@:]*\).*/\1/' | xargs -rn1 sh -c 'ip link delete "$0" || ! ip link show "$0"'`,
	`ip -o link show type bridge | sed 's/^[0-9]*: \([^@:]*\).*/\1/' | xargs -rn1 ip link delete`,
}

// Whatever was removed of a container by hand, rm -f removes the rest, and what is missing is made again.
func TestB4RemovedByHand(t *testing.T) {
	faults(t, func(v *victims) {
		leaseFolders, err := filepath.Glob(filepath.Join(v.h.RunRoot, "networks/*/leases")) // made when they are needed
		if err != nil {
			v.Fatal(err)
		}
		for set := 1; set < 1<<len(removals); set++ {
			if !allFaults() && set&(set-1) != 0 && set != 1<<len(removals)-1 { // each alone, and all
				continue
			}
			id := v.run1(1)
			for i, script := range removals {
				if set&(1<<i) == 0 {
					continue
				}
				if out, err := exec.Command("sh", "-c", script, "sh", id).CombinedOutput(); err != nil {
					v.Fatalf("%s: %v: %s", script, err, out)
				}
			}
			v.must("ps", "-a")
			if o := v.try("rm", "-f", "c1"); o.code != 0 {
				v.Errorf("%s: %+v", fmt.Sprintf("%06b", set), o)
			}
			v.must(runArgs("c1")...)
			v.must("rm", "-f", "c1")
			if err := errors.Join(mkdirs(leaseFolders)...); err != nil {
				v.Fatal(err)
			}
			if diff := settled(v.h, v.before); diff != "" {
				v.Fatalf("%06b: left behind:\n%s", set, diff)
			}
		}
	})
}

// When the record of a sandbox is lost, and its monitor with what that remembers, our marks tell what was the container's.
func TestB4LostRecord(t *testing.T) {
	faults(t, func(v *victims) {
		for _, lost := range []string{"/sandbox.json", ""} {
			id := v.run1(1)
			init, err := proc.Of(v.initOf("c1"))
			if err != nil {
				v.Fatal(err)
			}
			v.kill("c1", false)
			if err := errors.Join(os.RemoveAll(filepath.Join(v.h.RunRoot, "containers", id)+lost), init.Signal(unix.SIGKILL)); err != nil {
				v.Fatal(err)
			}
			v.await("the init to end", func() bool { return !init.Alive() })
			v.must("ps", "-a")
			v.must("run", "--rm", "--network", "net", "busybox", "true")
			v.must("rm", "c1")
			v.must("run", "--rm", "--network", "net", "busybox", "true")
			v.healed()
		}
	})
}

// initOf returns the PID of a container's first process.
func (v *victims) initOf(name string) int {
	v.Helper()
	pid, err := strconv.Atoi(v.must("inspect", "--format", "{{.State.Pid}}", name))
	if err != nil || pid == 0 {
		v.Fatalf("init of %s: %d, %v", name, pid, err)
	}
	return pid
}

// After a reboot all that runs is gone, and all that was asked for is there.
func TestB9Reboot(t *testing.T) {
	faults(t, func(v *victims) {
		const many = 5
		for i := range many {
			v.must("run", "-d", "--name", fmt.Sprintf("c%d", i), "--network", "net", "-p", fmt.Sprintf("808%d:80", i), "busybox", "sleep", "1000")
		}
		v.must("create", "--name", "fresh", "busybox", "true")
		for _, pid := range pids() {
			if pid != 1 && pid != os.Getpid() {
				_ = unix.Kill(pid, unix.SIGKILL) // some take others along
			}
		}
		v.await("all processes to end", func() bool { c, err := v.h.Census(); return err == nil && len(c["process"]) == 0 })
		for _, script := range append(removals[3:], `rm -rf /run/netns`, `echo 4711 >"$CTR_RUN_ROOT/boot-id"`) {
			if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
				v.Fatalf("%s: %v: %s", script, err, out)
			}
		}
		if got := v.must("ps", "-aq", "--filter", "status=exited"); len(strings.Fields(got)) != many {
			v.Errorf("exited after the reboot: %s", v.must("ps", "-a"))
		}
		v.must("start", "c0", "c1")
		v.must("run", "-d", "--name", "new", "--network", "net", "-p", "8082:80", "busybox", "sleep", "1000")
		for i := range many {
			v.must("rm", "-f", fmt.Sprintf("c%d", i))
		}
		v.must("rm", "-f", "new", "fresh")
		if err := os.MkdirAll("/run/netns", 0o755); err != nil {
			v.Fatal(err)
		}
		v.must(runArgs("c1")...)
		v.must("rm", "-f", "c1")
		for line := range strings.Lines(settled(v.h, v.before)) {
			if strings.HasPrefix(line, "+") { // the run folders of networks are made when they are needed
				v.Errorf("left behind: %s", line)
			}
		}
	})
}

func mkdirs(dirs []string) (errs []error) {
	for _, dir := range dirs {
		errs = append(errs, os.MkdirAll(dir, 0o700))
	}
	return errs
}
