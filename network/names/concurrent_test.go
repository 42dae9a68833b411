package names

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
)

// TestConcurrent: names come and go in one folder at the same time, and a name that stays is answered all along.
func TestConcurrent(t *testing.T) {
	z := Zone{Dir: t.TempDir()}
	must(t, z.Add("stays", v4, self("stays")))
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for i := range 4 {
		writers.Go(func() {
			id, addr := fmt.Sprint("writer", i), netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
			for round := range 200 {
				if err := z.Add("stays", v4, self("stays")); err != nil { // again
					t.Error(err)
				}
				for _, name := range []string{"shared", "stays", id} {
					if err := z.Add(name, addr, self(id)); err != nil {
						t.Error(err)
					}
				}
				if found, _, err := z.Lookup("shared"); err != nil || !slices.ContainsFunc(found, func(e Entry) bool { return e.Addr == addr }) {
					t.Errorf("own entry is missing: %v, %v", found, err)
				}
				if round%8 == 0 {
					if err := z.RemoveOwner(id); err != nil {
						t.Error(err)
					}
				}
				for _, name := range []string{"shared", "stays", id} {
					if err := z.Remove(name, addr, id); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	readers.Go(func() {
		r := z.Reader()
		defer r.Close()
		for {
			select {
			case <-done:
				return
			default:
			}
			found, err := r.Lookup(nil, []byte("stays"))
			if err != nil || !slices.ContainsFunc(found, func(e Entry) bool { return e.Addr == v4 }) {
				t.Errorf("name that stays: %v, %v", found, err)
				return
			}
		}
	})
	writers.Wait()
	close(done)
	readers.Wait()
	if got := files(t, z); !slices.Equal(got, []string{"stays", "stays/172.18.0.2"}) {
		t.Errorf("left: %q", got)
	}
}
