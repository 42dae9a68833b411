//go:build ctr_patched

// Package filter compiles seccomp profiles. That takes libseccomp, which is C: a binary without C has the init program do it.
package filter

// Compiled is a filter as the kernel takes it.
type Compiled struct {
	Filter []byte `json:"filter"` // struct sock_filter after struct sock_filter
	Flags  uint   `json:"flags"`  // of seccomp(2)
}

// Word is the init program's argument that lets it compile the profile on its standard input.
const Word = "compile-filter"
