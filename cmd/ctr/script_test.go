package main_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"ctr/internal/testhost"
	"ctr/runtime/installation"
)

var update = flag.Bool("update", false, "write what commands print now into the scripts that compare it")

// TestScripts runs testdata/*.txtar, each in a host of its own, with the static binary that users get (CTR_BIN, or bin/ctr,
// which is built then). After each script the installation is reset, and the host must be as it was.
//
// Besides testscript's commands there are:
//
//	images NAME...            have these test images instead of busybox alone: toolbox, db
//	exits CODE COMMAND...     run the command, which must end with this exit code
//	waitfor COMMAND...        repeat the command until it succeeds
//	pty FILE COMMAND...       run the command on a terminal and talk to it as FILE says: see cmdPty
//	census save|check         note what there is in the host; check that nothing was added or lost since
//	beside PACKAGE            put what hack/neighbours/build has of the package over the host's /usr and /etc
//	killmonitor [-small] CONTAINER...   kill the monitors of containers, young or once they have made themselves small
//	outside NAME PREFIX       make a neighbour; $NAME is the path of its network namespace, for nsenter --net
//	serve NETNS PORT WORD     answer there, on TCP, UDP and SCTP, with the word and the client's address; NETNS is "host" or a path
//	[!] ask NETNS tcp|udp|sctp ADDRESS:PORT   ask from there, and print the answer
//	spoof NETNS mac|arp|na|ra ...   claim there what is not true: see cmdSpoof
//	dnsupstream ADDRESS FILE  start a DNS server that knows the records in FILE and counts what it is asked: see cmdDNSUpstream
//
// $resolver is the address of the host's name server, $table the name of the installation's nftables table, $disk a block
// device. The conditions [cmd:NAME], [linux:MAJOR.MINOR], [sctp], [disk] and [v1] tell whether the machine has a command, this kernel or
// a newer one, SCTP in it, a $disk, and cgroups of version 1.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	if !testhost.Inside() && os.Geteuid() == 0 && !testing.Short() {
		prepare(t)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			testhost.Run(t, func(t *testing.T, h *testhost.Host) { runScript(t, h, file) })
		})
	}
}

// runScript runs one script in the host.
func runScript(t *testing.T, h *testhost.Host, file string) {
	before, err := h.Census()
	if err != nil {
		t.Fatal(err)
	}
	testscript.RunT(serial{t}, testscript.Params{
		Files:               []string{file},
		Setup:               func(env *testscript.Env) error { return setUp(env, h) },
		Cmds:                commands,
		Condition:           condition,
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
	reset := exec.Command(os.Getenv("CTR_BIN"), "system", "reset", "--force")
	if out, err := reset.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", reset, err, out)
	}
	if diff := settled(h, before); diff != "" {
		t.Errorf("the script, and system reset after it, left behind:\n%s", diff)
	}
}

// serial runs the one script of a host as part of the test that made the host, not as a parallel test below it.
type serial struct{ *testing.T }

func (s serial) Run(_ string, f func(testscript.T)) { f(s) }
func (s serial) Parallel()                          {}
func (s serial) Verbose() bool                      { return testing.Verbose() }

// setUp gives the script its environment and the busybox image.
func setUp(env *testscript.Env, h *testhost.Host) error {
	env.Values[hostKey{}] = h
	bin := filepath.Join(env.WorkDir, ".bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return err
	}
	if err := os.Symlink(os.Getenv("CTR_BIN"), filepath.Join(bin, "ctr")); err != nil {
		return err
	}
	env.Setenv("PATH", bin+":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("CTR_ROOT", h.Root)
	env.Setenv("CTR_RUN_ROOT", h.RunRoot)
	env.Setenv("table", "ctr-"+installation.Roots{Data: h.Root, Run: h.RunRoot}.Tag())
	env.Setenv("resolver", testhost.ResolverAddress)
	env.Setenv("disk", disk())
	return useImages(h, "small")
}

// hostKey is the key of the script's *testhost.Host among its values.
type hostKey struct{}

func host(ts *testscript.TestScript) *testhost.Host {
	h, ok := ts.Value(hostKey{}).(*testhost.Host)
	if !ok {
		ts.Fatalf("the script has no host")
	}
	return h
}

func condition(cond string) (bool, error) {
	switch cond {
	case "sctp":
		return haveSCTP(), nil
	case "disk":
		return disk() != "", nil
	case "v1": // of cgroups, or the hybrid
		_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
		return err != nil, nil
	}
	if version, ok := strings.CutPrefix(cond, "linux:"); ok {
		return haveLinux(version)
	}
	name, ok := strings.CutPrefix(cond, "cmd:")
	if !ok {
		return false, fmt.Errorf("unknown condition %q", cond)
	}
	_, err := exec.LookPath(name)
	return err == nil, nil
}

// haveLinux tells whether the kernel is of that version or newer.
func haveLinux(version string) (bool, error) {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return false, err
	}
	var have, want [2]int
	_, err1 := fmt.Sscanf(string(release), "%d.%d", &have[0], &have[1])
	_, err2 := fmt.Sscanf(version, "%d.%d", &want[0], &want[1])
	return slices.Compare(have[:], want[:]) >= 0, errors.Join(err1, err2)
}

// disk returns the node of a whole block device, which may be a loop device that nobody uses; empty if there is none.
func disk() string {
	names, _ := filepath.Glob("/sys/block/*")
	for _, name := range names {
		node := filepath.Join("/dev", filepath.Base(name))
		if info, err := os.Stat(node); err == nil && info.Mode()&(os.ModeDevice|os.ModeCharDevice) == os.ModeDevice {
			return node
		}
	}
	return ""
}
