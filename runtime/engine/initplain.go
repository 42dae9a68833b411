//go:build !ctr_patched

package engine

// UseInit has no effect without the patched libcontainer: this process's own binary becomes the processes of containers.
func UseInit(string) {}
