//go:build ctr_patched && cgo

package main

// Without this, the C library gives each thread a heap of its own at its first malloc(3), which the start of a thread under cgo
// does: seven system calls and two page faults, in each of the 25 threads that take part in a start. Go's own memory is not
// malloc's, and what little C code there is runs on one thread at a time (mallopt(3), M_ARENA_MAX).

/*
#include <malloc.h>

__attribute__((constructor)) static void one_arena(void) {
	mallopt(M_ARENA_MAX, 1);
}
*/
import "C"
