//go:build ctr_patched

package engine

import "github.com/opencontainers/runc/libcontainer"

func setInitPath(path string) { libcontainer.InitPath = path }

// initPath is the program that UseInit has named; empty: this process's own binary.
func initPath() string { return libcontainer.InitPath }
