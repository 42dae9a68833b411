package container

import (
	"errors"
	"fmt"
	"strings"
)

// The errors that callers tell apart.
var (
	// ErrNotFound is returned when no container has the name or ID.
	ErrNotFound = errors.New("no such container")
	// ErrNameInUse is wrapped by *ConflictError.
	ErrNameInUse = errors.New("name is already in use")
	// ErrNotRunning is returned by what needs a process.
	ErrNotRunning = errors.New("container is not running")
	// ErrRunning is returned by what a running container does not allow.
	ErrRunning = errors.New("container is running")
	// ErrInvalidName is returned for a name that does not match [a-zA-Z0-9][a-zA-Z0-9_.-]+.
	ErrInvalidName = errors.New("invalid container name")
	// ErrBusy is returned when somebody else has changed the container for too long.
	ErrBusy = errors.New("container is being changed by another command")
)

// errEmptyRef says that an empty word names no container, in Docker's words: a variable of a script that was not set, above all,
// and nothing that somebody has removed.
var errEmptyRef = errors.New("invalid container name or ID: value is empty")

// ConflictError is returned when a name is taken. It wraps ErrNameInUse.
type ConflictError struct {
	Name, Holder string // the name, and the ID of the container that has it
}

// Error uses Docker's words.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("Conflict. The container name %q is already in use by container %q. You have to remove (or rename) that container to be able to reuse that name.",
		"/"+e.Name, e.Holder)
}

// Unwrap returns ErrNameInUse.
func (e *ConflictError) Unwrap() error { return ErrNameInUse }

// AmbiguousError is returned when a prefix is that of several IDs.
type AmbiguousError struct {
	Prefix     string
	Candidates []string // names
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("multiple containers have an ID that starts with %q: %s", e.Prefix, strings.Join(e.Candidates, ", "))
}

// notFound says which container is missing, in Docker's words.
func notFound(ref string) error { return &notFoundError{ref} }

type notFoundError struct{ ref string }

func (e *notFoundError) Error() string { return "No such container: " + e.ref }
func (e *notFoundError) Unwrap() error { return ErrNotFound }
