package house_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// initPackages are all of ours that the init program consists of.
var initPackages = []string{"ctr/runtime/engine/filter", "ctr/runtime/engine/initprogram", "ctr/runtime/engine/pid1"}

// initModules are the others that it consists of, besides the standard library: libcontainer, and what that needs itself.
var initModules = []string{
	"github.com/aperturerobotics/protobuf-go-lite", "github.com/checkpoint-restore/go-criu/v8",
	"github.com/containerd/console", "github.com/coreos/go-systemd/v22", "github.com/cyphar/filepath-securejoin",
	"github.com/godbus/dbus/v5", "github.com/moby/sys/capability", "github.com/moby/sys/mountinfo",
	"github.com/moby/sys/user", "github.com/moby/sys/userns", "github.com/mrunalp/fileutils",
	"github.com/opencontainers/cgroups", "github.com/opencontainers/runc", "github.com/opencontainers/runtime-spec",
	"github.com/opencontainers/selinux", "github.com/seccomp/libseccomp-golang", "github.com/sirupsen/logrus",
	"github.com/vishvananda/netlink", "github.com/vishvananda/netns", "golang.org/x/net", "golang.org/x/sys",
}

// What the initialisation of its packages may cost each start and each exec: 17 kB and 0.3 ms where this was written.
const (
	maxInitProgramBytes        = 25_000
	maxInitProgramMilliseconds = 1.5
)

const initProgram = "./runtime/engine/initprogram"

func TestTheInitProgramStaysSmall(t *testing.T) {
	t.Parallel()
	list := exec.Command("go", "list", "-deps", "-tags", "ctr_patched,seccomp,netgo,osusergo",
		"-f", "{{if not .Standard}}{{.Module.Path}} {{.ImportPath}}{{end}}", initProgram)
	list.Dir, list.Stderr = "../..", os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	found := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(found) < 20 {
		t.Fatalf("go list found %q only", found)
	}
	for _, line := range found {
		module, name, _ := strings.Cut(line, " ")
		if ours := module == "ctr"; ours && !slices.Contains(initPackages, name) || !ours && !slices.Contains(initModules, module) {
			t.Errorf("the init program links %s", name)
		}
	}
}

func TestTheInitProgramInitialisesQuickly(t *testing.T) {
	t.Parallel()
	if os.Getenv("CTR_BIN") == "" {
		t.Skip("CTR_BIN is not set: libcontainer's patched copy may be missing")
	}
	flags := exec.Command("make", "-s", "print-goflags")
	flags.Dir, flags.Stderr = "../..", os.Stderr
	out, err := flags.Output()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "init")
	build := exec.Command("go", slices.Concat([]string{"build"}, strings.Fields(string(out)), []string{"-o", binary, initProgram})...)
	build.Dir = "../.."
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	// Without its descriptors it says that it is nothing to start by hand, and ends.
	initialisesQuickly(t, maxInitProgramBytes, maxInitProgramMilliseconds, false, binary)
}
