//go:build cgo

package engine

import (
	"os"

	"github.com/opencontainers/runc/libcontainer"
	// The constructor that joins and makes the namespaces, before the Go runtime starts.
	_ "github.com/opencontainers/runc/libcontainer/nsenter"
)

// selfInit tells that this binary can become the processes of containers itself.
const selfInit = true

// initPipe is what libcontainer sets for a process that it starts as a container's init. The argument that it passes too,
// "init", proves nothing: it is what a user may type.
const initPipe = "_LIBCONTAINER_INITPIPE"

// A container's init never gets past here: main and the packages that are initialised later cost it nothing.
func init() {
	if os.Getenv(initPipe) != "" {
		libcontainer.Init()
	}
}
