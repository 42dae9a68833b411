package main_test

import (
	"cmp"
	"errors"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// cmdBeside puts what hack/neighbours/build has got of a package over the host's own /usr and /etc, until the script ends.
// Where it has got nothing, the script finds what the machine has.
func cmdBeside(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: beside PACKAGE")
	}
	cache := cmp.Or(os.Getenv("CTR_TEST_CACHE"), "/var/cache/ctr-test-images")
	found, err := filepath.Glob(filepath.Join(cache, "neighbour-"+args[0]+"-*"))
	ts.Check(err)
	if len(found) == 0 {
		return
	}
	if err := unix.Mount("overlay", "/usr", "overlay", unix.MS_RDONLY, "lowerdir="+found[0]+"/usr:/usr"); err != nil {
		ts.Fatalf("mount over /usr: %v", err)
	}
	ts.Defer(func() { ts.Check(unix.Unmount("/usr", unix.MNT_DETACH)) })
	// /etc is the host's own, which keeps the changes.
	if out, err := exec.Command("cp", "--archive", "--no-clobber", found[0]+"/etc/.", "/etc").CombinedOutput(); err != nil {
		ts.Fatalf("%v", errors.Join(err, errors.New(string(out))))
	}
}
