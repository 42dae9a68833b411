//go:build !cgo

package engine

// selfInit: without C in it, this binary starts 0.5 ms sooner, but cannot join or make namespaces before the Go runtime starts.
const selfInit = false
