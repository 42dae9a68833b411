package engine

import (
	"maps"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/manager"

	"ctr/internal/cgroupfs"
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

// The hierarchies that we find are those that the cgroups module finds, which takes its time.
func TestHierarchiesAreThoseOfTheLibrary(t *testing.T) {
	t.Parallel()
	const any = "/ctr"
	m, err := manager.New(&cgroups.Cgroup{Path: any, Resources: &cgroups.Resources{}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for controller, path := range m.GetPaths() {
		want[controller] = strings.TrimSuffix(path, any)
	}
	got, err := cgroupfs.Roots()
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		t.Errorf("found %v, the library %v", got, want)
	}
}
