// Package images keeps images in an OCI image layout.
package images

// Store is the images of one installation.
type Store struct{}

// Event is a step of a pull, for whoever shows its progress.
type Event struct{}
