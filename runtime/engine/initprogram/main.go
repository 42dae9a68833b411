//go:build ctr_patched && cgo

// The init program has the C of ctr, which ctr itself is quicker without. It becomes a container's first process, or one more
// program in it: libcontainer's init and nothing else, so that it is there 1.3 ms sooner than all of ctr would be. It is the
// reaping init of --init (package pid1), and it compiles seccomp profiles (package filter).
//
// It is built by `make`, embedded in ctr, and never started by hand.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/runc/libcontainer"
	// The constructor that joins and makes the namespaces, before the Go runtime starts.
	_ "github.com/opencontainers/runc/libcontainer/nsenter"
	"github.com/sirupsen/logrus"

	"ctr/runtime/engine/filter"
	// The constructor that is the reaping init, if it was started as one.
	_ "ctr/runtime/engine/pid1"
)

func main() {
	switch {
	case os.Getenv("_LIBCONTAINER_INITPIPE") != "":
		logrus.SetOutput(io.Discard)
		libcontainer.Init()
	case len(os.Args) == 2 && os.Args[1] == filter.Word:
		if err := filter.Serve(os.Stdin, os.Stdout); err != nil {
			fail(err)
		}
	default:
		fail("this is a part of ctr, not to be started by hand")
	}
}

func fail(what any) {
	fmt.Fprintln(os.Stderr, what)
	os.Exit(1)
}
