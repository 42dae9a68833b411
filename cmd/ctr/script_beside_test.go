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

// cmdBeside is beside for a script.
func cmdBeside(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: beside PACKAGE")
	}
	undo, err := beside(args[0])
	ts.Check(err)
	ts.Defer(func() { ts.Check(undo()) })
}

// beside puts what hack/neighbours/build has got of a package over the host's own /usr and /etc, until undo. Where it has got
// nothing, the host has what the machine has.
func beside(pkg string) (undo func() error, err error) {
	cache := cmp.Or(os.Getenv("CTR_TEST_CACHE"), "/var/cache/ctr-test-images")
	found, err := filepath.Glob(filepath.Join(cache, "neighbour-"+pkg+"-*"))
	if err != nil || len(found) == 0 {
		return func() error { return nil }, err
	}
	if err := unix.Mount("overlay", "/usr", "overlay", unix.MS_RDONLY, "lowerdir="+found[0]+"/usr:/usr"); err != nil {
		return nil, os.NewSyscallError("mount over /usr", err)
	}
	// /etc is the host's own, which keeps the changes.
	if out, err := exec.Command("cp", "--archive", "--no-clobber", found[0]+"/etc/.", "/etc").CombinedOutput(); err != nil {
		return nil, errors.Join(err, errors.New(string(out)), unix.Unmount("/usr", unix.MNT_DETACH))
	}
	return func() error { return os.NewSyscallError("umount", unix.Unmount("/usr", unix.MNT_DETACH)) }, nil
}
