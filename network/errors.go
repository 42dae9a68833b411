package network

import "errors"

// The errors that callers tell apart. Each comes wrapped in a sentence that names the network, address or option.
var (
	// ErrNotFound is returned when no network has the name, ID or prefix.
	ErrNotFound = errors.New("not found")
	// ErrExists is returned by Create when the name is taken.
	ErrExists = errors.New("already exists")
	// ErrOverlap is returned by Create when a subnet is in use by another network or by the host.
	ErrOverlap = errors.New("Pool overlaps with other one on this address space") //nolint:staticcheck // Docker's wording, which scripts look for.
	// ErrUnsupported is returned for a driver or an option that this program or this kernel does not have.
	ErrUnsupported = errors.New("not supported")
	// ErrPredefined is returned when a network that always exists is to be made or removed.
	ErrPredefined = errors.New("pre-defined network")
	// ErrInUse is returned by Remove when the network has live endpoints.
	ErrInUse = errors.New("active endpoints")
	// ErrInvalid is returned for options that contradict each other or make no sense.
	ErrInvalid = errors.New("invalid option")
)

// hinted is an error with advice for the user, which the command line prints on a line of its own.
type hinted struct {
	error
	hint string
}

// withHint adds advice to an error.
func withHint(err error, hint string) error { return &hinted{err, hint} }

// Hint returns the advice.
func (h *hinted) Hint() string { return h.hint }

// Unwrap returns the error without its advice.
func (h *hinted) Unwrap() error { return h.error }
