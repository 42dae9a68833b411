//go:build ctr_patched

package engine

import "github.com/opencontainers/runc/libcontainer"

// UseInit names the program that becomes the processes of containers, instead of this process's own: one that links less is
// there 1.3 ms sooner. It is for all that this process starts from then on.
func UseInit(path string) { libcontainer.InitPath = path }
