package images

import "errors"

// What callers distinguish. All are wrapped with what was asked for.
var (
	// ErrNotFound is returned when no image has the name or ID.
	ErrNotFound = errors.New("no such image")
	// ErrAmbiguous is returned when several images have the ID prefix.
	ErrAmbiguous = errors.New("multiple images match")
	// ErrReference is returned when a name cannot be the name of an image.
	ErrReference = errors.New("invalid reference format")
	// ErrConflict is returned by Remove when containers or other names need what would go.
	ErrConflict = errors.New("conflict")
	// ErrDenied is returned by Pull when the registry knows no such repository, or will not say.
	ErrDenied = errors.New("pull access denied")
	// ErrInvalid is returned when a manifest, configuration, layer or archive is not what it claims to be.
	ErrInvalid = errors.New("invalid image")
	// ErrPlatform is returned when an image has no variant for the platform.
	ErrPlatform = errors.New("no matching manifest")
)
