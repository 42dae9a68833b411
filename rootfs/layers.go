// Package rootfs unpacks layers and mounts root file systems.
package rootfs

// Layers are the unpacked layers of one installation.
type Layers struct{}
