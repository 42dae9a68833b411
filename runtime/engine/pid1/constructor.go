//go:build cgo

package pid1

// The constructor of pid1.c is in every binary that imports this package and is built with cgo.

// #include <sys/types.h>
import "C"
