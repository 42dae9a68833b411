// Package container holds what is known of containers: the spec, the state, the records on disk.
package container

// Store is the containers of one installation.
type Store struct{}

// Container is one container: its spec and the folders that hold its records.
type Container struct {
	Spec
}
