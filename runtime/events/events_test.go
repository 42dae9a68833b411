package events

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestFollowing reads while several write and the files are rotated: each event comes once.
func TestFollowing(t *testing.T) {
	t.Parallel()
	j := Open(filepath.Join(t.TempDir(), "events"))
	const writers, each = 4, 1500
	long := strings.Repeat("x", 1000) // 6 MB in all: one file is full, and none is lost
	seen := map[string]int{}
	done := make(chan error, 1)
	began := make(chan struct{})
	var start sync.Once
	enough := errors.New("enough")
	go func() {
		done <- j.Read(t.Context(), ReadOptions{}, func(e Event) error {
			start.Do(func() { close(began) })
			if e.Actor.ID != "first" {
				seen[e.Actor.ID]++
			}
			if len(seen) == writers*each {
				return enough
			}
			return nil
		})
	}()
	for waiting := true; waiting; {
		if err := j.Write(Container, "start", "first", nil); err != nil {
			t.Fatal(err)
		}
		select {
		case <-began:
			waiting = false
		case <-time.After(time.Millisecond):
		}
	}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				err := j.Write(Container, "start", strconv.Itoa(w)+"."+strconv.Itoa(i), map[string]string{"long": long})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-done:
		if !errors.Is(err, enough) {
			t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("of %d events %d came", writers*each, len(seen))
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
	for _, name := range []string{currentFile, previousFile} {
		if info, err := os.Stat(filepath.Join(j.dir, name)); err != nil || info.Size() > maxFile+8<<10 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestSinceAndUntil(t *testing.T) {
	t.Parallel()
	j := Open(filepath.Join(t.TempDir(), "events"))
	begin := time.Now()
	for _, action := range []string{"create", "start", "die"} {
		if err := j.Write(Container, action, "id", map[string]string{"image": "busybox"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := appendLine(j, "{broken\n"); err != nil {
		t.Fatal(err)
	}
	if err := j.Write(Volume, "destroy", "v", nil); err != nil {
		t.Fatal(err)
	}
	var got []string
	keep := func(e Event) error {
		got = append(got, e.Action+" "+e.From)
		return nil
	}
	if err := j.Read(t.Context(), ReadOptions{Since: begin, Until: time.Now()}, keep); err != nil {
		t.Fatal(err)
	}
	if want := "create busybox,start busybox,die busybox,destroy "; strings.Join(got, ",") != want {
		t.Errorf("got %q, want %q", got, want)
	}
	got = nil
	if err := j.Read(t.Context(), ReadOptions{Since: begin.Add(-time.Hour), Until: begin}, keep); err != nil || got != nil {
		t.Errorf("before all of them: %q, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Read(ctx, ReadOptions{}, keep); err != nil || got != nil {
		t.Errorf("from now on: %q, %v", got, err)
	}
}

func appendLine(j *Journal, line string) error {
	f, err := os.OpenFile(filepath.Join(j.dir, currentFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(line)
	return err
}
