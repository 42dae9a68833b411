// Package parallel does the same for many things, as many at a time as there are CPUs: reading the records of hundreds of
// containers is waiting for the kernel, and decoding.
package parallel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// For calls f with 0 to n-1, each once and in no order, and returns when all calls have.
func For(n int, f func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	wg.Wait()
}
