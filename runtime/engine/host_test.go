package engine

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// Threads that end beside it, as those with a mount namespace of their own do, cost nobody its look.
func TestOwnCapabilitiesBesideDyingThreads(t *testing.T) {
	var stop atomic.Bool
	var dying sync.WaitGroup
	for range 4 {
		dying.Go(func() {
			for !stop.Load() {
				done := make(chan struct{})
				go func() {
					defer close(done)
					runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
				}()
				<-done
			}
		})
	}
	var looking sync.WaitGroup
	for range 4 {
		looking.Go(func() {
			for range 500 {
				if _, err := ownCapabilities(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	looking.Wait()
	stop.Store(true)
	dying.Wait()
}
