//go:build !ctr_patched

package engine

// The libcontainer that is not patched always takes this process's own binary.
func setInitPath(string) {}

func initPath() string { return "" }
