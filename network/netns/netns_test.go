package netns_test

import (
	"os"
	"runtime"
	"sync"
	"testing"

	"ctr/internal/testhost"
	"ctr/network/netns"
)

// TestMainThreadStays looks at the thread whose namespace /proc/self/ns/net shows: were it the one that enters a namespace, it
// would sit there for ever.
func TestMainThreadStays(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		home, err := os.Readlink("/proc/self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		var running sync.WaitGroup
		for range 4 {
			running.Go(func() {
				for range 50 {
					ns, err := netns.New()
					if err != nil {
						t.Error(err)
						return
					}
					err = ns.Do(func() error {
						runtime.Gosched() // lets the others take threads
						return nil
					})
					if err != nil {
						t.Error(err)
					}
					ns.Close()
				}
			})
		}
		running.Wait()
		if now, err := os.Readlink("/proc/self/ns/net"); err != nil || now != home {
			t.Errorf("the main thread is in %s, %v; want %s", now, err, home)
		}
	})
}

// TestGoexitInside is what t.Fatal does in a namespace: it must end the caller, and not leave it waiting.
func TestGoexitInside(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		ns, err := netns.Current()
		if err != nil {
			t.Fatal(err)
		}
		defer ns.Close()
		returned := make(chan bool, 1)
		go func() {
			came := false
			defer func() { returned <- came }()
			_ = ns.Do(func() error {
				runtime.Goexit()
				return nil
			})
			came = true
		}()
		if <-returned {
			t.Error("Do returned to a goroutine that was to end")
		}
	})
}
