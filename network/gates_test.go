package network_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/internal/durable"
	"ctr/internal/proc"
	"ctr/internal/testhost"
	"ctr/network"
)

// openedFor returns the rules of others that are opened for a network.
func openedFor(t *testing.T, s network.Spec) int {
	t.Helper()
	return strings.Count(must(t, nil, "nft", "list", "chain", "inet", "others", "forward"), `"`+s.Bridge+`"`)
}

// blocked waits until somebody of this process waits for the flock of a file, or done is closed.
func blocked(t *testing.T, path string, done <-chan struct{}) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	inode := fmt.Sprintf(":%d ", info.Sys().(*syscall.Stat_t).Ino)
	settled(t, func() string {
		select {
		case <-done:
			return ""
		default:
		}
		locks, err := os.ReadFile("/proc/locks")
		if err != nil {
			return err.Error()
		}
		for line := range strings.Lines(string(locks)) {
			if strings.Contains(line, "-> FLOCK") && strings.Contains(line, inode) {
				return ""
			}
		}
		return "nobody waits for the lock of " + path
	})
}

// The last container of a network ends while another one starts: whoever is on it has the rules of others open from when it is
// set up, whatever the one that ends was just about to close.
func TestGatesClosedBesideAStart(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		must(t, nil, "nft", "add table inet others; add chain inet others forward { type filter hook forward priority 0; policy drop; }")
		n := open(t, h.Root, h.RunRoot)
		s := create(t, n, network.Spec{Name: "mynet"})
		path := filepath.Join(h.RunRoot, "networks", s.ID, "opened")
		lock := func() (unlock func() error) {
			fd, err := durable.OpenLocked(path, unix.LOCK_EX)
			if err != nil {
				t.Fatal(err)
			}
			return func() error { return unix.Close(fd) }
		}
		closeAll := func() { // what who has the lock does
			must(t, nil, "nft", "flush", "chain", "inet", "others", "forward")
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		first := setup(t, n, container(t, h.RunRoot, "first", "mynet"))
		if got := openedFor(t, s); got != 2 {
			t.Fatalf("%d rules are open for the first", got)
		}

		// One that closes them has looked before the second one had an address: the second one waits for it.
		unlock := lock()
		set := make(chan struct{})
		var second *network.Sandbox
		go func() {
			defer close(set)
			var err error
			if second, err = n.Setup(context.Background(), container(t, h.RunRoot, "second", "mynet"), proc.Self(), nil, nil); err != nil {
				t.Error(err)
			}
		}()
		blocked(t, path, set)
		closeAll()
		if err := unlock(); err != nil {
			t.Fatal(err)
		}
		<-set
		if t.Failed() {
			return
		}
		if got := openedFor(t, s); got != 2 {
			t.Errorf("%d rules are open for the second", got)
		}

		// One that comes to close them looks again once its turn has come, at the file that is there by then.
		down(t, n, first)
		unlock = lock()
		ended := make(chan struct{})
		go func() { defer close(ended); down(t, n, second) }()
		blocked(t, path, ended)
		closeAll()
		third := setup(t, n, container(t, h.RunRoot, "third", "mynet"))
		if err := unlock(); err != nil {
			t.Fatal(err)
		}
		<-ended
		if got := openedFor(t, s); got != 2 {
			t.Errorf("%d rules are open for the third", got)
		}
		down(t, n, third)
		if got := openedFor(t, s); got != 0 {
			t.Errorf("%d rules stay open for nobody", got)
		}
	})
}
