package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ctr/internal/proc"
)

func newStore(t *testing.T) *Store {
	t.Helper()
	dir := t.TempDir()
	s, err := OpenStore(filepath.Join(dir, "data"), filepath.Join(dir, "run"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func create(t *testing.T, s *Store, name string) *Container {
	t.Helper()
	c, err := s.Create(Spec{Version: SpecVersion, ID: NewID(), Name: name, Created: time.Now()}, noFill)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func noFill(*Container) error { return nil }

func TestFind(t *testing.T) {
	s := newStore(t)
	a, b := create(t, s, "a1"), create(t, s, "b1")
	for _, ref := range []string{a.ID, a.Name, "/" + a.Name, a.ShortID()} {
		got, err := s.Find(ref)
		if err != nil || got.ID != a.ID {
			t.Errorf("Find(%q) = %v, %v", ref, got, err)
		}
	}
	for _, ref := range []string{"nosuch", "../a1", "a1/", strings.Repeat("0", 64), strings.ToUpper(b.ID)} {
		if got, err := s.Find(ref); !errors.Is(err, ErrNotFound) {
			t.Errorf("Find(%q) = %v, %v, want ErrNotFound", ref, got, err)
		}
	}
	// A script's empty variable is not what somebody has removed already.
	if got, err := s.Find(""); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("Find(\"\") = %v, %v", got, err)
	}
}

func TestAmbiguousPrefixListsCandidates(t *testing.T) {
	s := newStore(t)
	id1, id2 := "ab"+NewID()[2:], "ab"+NewID()[2:]
	for name, id := range map[string]string{"one": id1, "two": id2} {
		if _, err := s.Create(Spec{ID: id, Name: name}, noFill); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Find("ab")
	var amb *AmbiguousError
	if !errors.As(err, &amb) || len(amb.Candidates) != 2 {
		t.Fatalf("Find = %v, want two candidates", err)
	}
	if !strings.Contains(err.Error(), "one (") || !strings.Contains(err.Error(), "two (") {
		t.Errorf("error does not name them: %v", err)
	}
}

func TestNameIsTakenOnce(t *testing.T) {
	s := newStore(t)
	const n = 20
	var wg sync.WaitGroup
	var mu sync.Mutex
	made, conflicts := 0, 0
	for range n {
		wg.Go(func() {
			_, err := s.Create(Spec{ID: NewID(), Name: "same"}, noFill)
			mu.Lock()
			defer mu.Unlock()
			var conflict *ConflictError
			switch {
			case err == nil:
				made++
			case errors.As(err, &conflict):
				conflicts++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made != 1 || conflicts != n-1 {
		t.Errorf("made %d, conflicts %d, want 1 and %d", made, conflicts, n-1)
	}
	if entries, _ := os.ReadDir(s.data); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestCreateThatFailsLeavesNothing(t *testing.T) {
	s := newStore(t)
	boom := errors.New("boom")
	if _, err := s.Create(Spec{ID: NewID(), Name: "x1"}, func(*Container) error { return boom }); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	for _, dir := range []string{s.data, s.names, s.run} {
		if entries, _ := os.ReadDir(dir); len(entries) != 0 {
			t.Errorf("%s: left %v", dir, entries)
		}
	}
	create(t, s, "x1")
}

func TestNameOfKilledCreatorIsFree(t *testing.T) {
	s := newStore(t)
	// What a creator leaves that was killed before it wrote the record: a folder without one, and a name.
	id := NewID()
	if err := os.Mkdir(filepath.Join(s.data, id), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(id, filepath.Join(s.names, "web")); err != nil {
		t.Fatal(err)
	}
	c := create(t, s, "web")
	got, err := s.Find("web")
	if err != nil || got.ID != c.ID {
		t.Errorf("Find = %v, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(s.data, id)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half-made container is still there: %v", err)
	}
}

func TestSweep(t *testing.T) {
	s := newStore(t)
	kept := create(t, s, "kept")
	half, removed := filepath.Join(s.data, NewID()), filepath.Join(s.data, removedPrefix+NewID())
	for _, dir := range []string{half, filepath.Join(removed, "upper")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(s.data)
	if len(entries) != 1 || entries[0].Name() != kept.ID {
		t.Errorf("after sweep: %v", entries)
	}
}

func TestRename(t *testing.T) {
	s := newStore(t)
	// No names that an ID could begin with.
	a, b := create(t, s, "anna"), create(t, s, "bert")
	var conflict *ConflictError
	if err := s.Rename(a, "bert"); !errors.As(err, &conflict) || conflict.Holder != b.ID {
		t.Errorf("Rename to a taken name = %v", err)
	}
	if err := s.Rename(a, "carl"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Find("anna"); !errors.Is(err, ErrNotFound) {
		t.Errorf("old name: %v", err)
	}
	if got, err := s.Find("carl"); err != nil || got.ID != a.ID {
		t.Errorf("new name: %v, %v", got, err)
	}
	if err := s.Rename(a, "-x"); !errors.Is(err, ErrInvalidName) {
		t.Errorf("invalid name: %v", err)
	}
}

func TestRemoveFreesTheName(t *testing.T) {
	s := newStore(t)
	c := create(t, s, "web")
	if err := s.Remove(c); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(c); err != nil {
		t.Errorf("second remove: %v", err)
	}
	create(t, s, "web")
}

func TestBrokenRecordHidesNoOther(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"truncated": func(p string) error { return os.WriteFile(p, []byte(`{"version":1,"id"`), 0o600) },
		"empty":     func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"folder":    func(p string) error { return os.Mkdir(p, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			good, bad := create(t, s, "good"), create(t, s, "bad")
			path := filepath.Join(bad.Dir, specFile)
			if err := errors.Join(os.Remove(path), damage(path)); err != nil {
				t.Fatal(err)
			}
			all, broken := s.List()
			if len(all) != 1 || all[0].ID != good.ID || len(broken) != 1 {
				t.Errorf("List = %v, %v", all, broken)
			}
		})
	}
}

func TestLock(t *testing.T) {
	s := newStore(t)
	c := create(t, s, "web")
	l, err := c.TryLock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.TryLock(); !errors.Is(err, ErrBusy) {
		t.Errorf("second lock = %v, want ErrBusy", err)
	}
	l.Close()
	l, err = c.TryLock()
	if err != nil {
		t.Errorf("after Close: %v", err)
	}
	l.Close()
	if err := s.Remove(c); err != nil {
		t.Fatal(err)
	}
	if _, err := c.TryLock(); !errors.Is(err, ErrNotFound) {
		t.Errorf("lock of a removed container = %v", err)
	}
}

func TestState(t *testing.T) {
	self := proc.Self()
	dead := proc.ID{PID: self.PID, Start: self.Start + 1}
	began, ended := time.Unix(100, 0), time.Unix(200, 0)
	for _, tt := range []struct {
		name    string
		exit    *Exit
		monitor *Monitor
		want    Status
		code    int
	}{
		{name: "never started", want: Created},
		{name: "ended", exit: &Exit{StartedAt: began, FinishedAt: ended, ExitCode: 3}, want: Exited, code: 3},
		{name: "runs", exit: &Exit{StartedAt: began}, monitor: &Monitor{Monitor: self, Init: self, StartedAt: began}, want: Running},
		{name: "not released", monitor: &Monitor{Monitor: self, Init: self}, want: Created},
		{name: "init reused", exit: &Exit{StartedAt: began}, monitor: &Monitor{Monitor: dead, Init: dead, StartedAt: began}, want: Exited, code: ExitUnknown},
		{name: "rebooted", exit: &Exit{StartedAt: began}, want: Exited, code: ExitUnknown},
		{name: "start failed", exit: &Exit{ExitCode: 127, Error: "no such file"}, want: Created, code: 127},
		{
			name: "restarting", exit: &Exit{StartedAt: began, FinishedAt: ended, ExitCode: 1},
			monitor: &Monitor{Monitor: self, Restarting: true}, want: Restarting, code: 1,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t)
			c := create(t, s, "web")
			if tt.exit != nil {
				if err := c.WriteExit(*tt.exit); err != nil {
					t.Fatal(err)
				}
			}
			if tt.monitor != nil {
				if err := os.MkdirAll(c.RunDir, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := c.WriteMonitor(*tt.monitor); err != nil {
					t.Fatal(err)
				}
			}
			got := c.State()
			if got.Status != tt.want || got.ExitCode != tt.code {
				t.Errorf("State = %s (%d), want %s (%d)", got.Status, got.ExitCode, tt.want, tt.code)
			}
		})
	}
}

func TestStateOfDamagedRecord(t *testing.T) {
	c := create(t, newStore(t), "web")
	if err := os.WriteFile(filepath.Join(c.Dir, exitFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := c.State(); got.Status != Dead || got.Error == "" {
		t.Errorf("State = %+v, want dead with a reason", got)
	}
}

func TestNewIDIsNoNumber(t *testing.T) {
	for range 1000 {
		id := NewID()
		if !isFullID(id) || !strings.ContainsAny(id[:12], "abcdef") {
			t.Fatalf("NewID() = %q", id)
		}
	}
}

func FuzzFind(f *testing.F) {
	for _, s := range []string{"web", "/web", "..", "a/../b", "\x00", strings.Repeat("a", 300), "-x", "ab"} {
		f.Add(s)
	}
	dir := f.TempDir()
	s, err := OpenStore(filepath.Join(dir, "data"), filepath.Join(dir, "run"))
	if err != nil {
		f.Fatal(err)
	}
	// Outside of the store's folders, where no name may lead.
	if err := os.WriteFile(filepath.Join(dir, "data", specFile), []byte(`{"id":"x"}`), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		if c, err := s.Find(ref); err == nil {
			t.Errorf("Find(%q) found %v in an empty store", ref, c)
		}
	})
}

// A renaming that was killed between its two steps must cost nobody a container.
func TestInterruptedRename(t *testing.T) {
	s := newStore(t)
	c := create(t, s, "old")
	if err := os.Symlink(c.ID, filepath.Join(s.names, "new")); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Find("new"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Find by the name that it did not get = %v, %v", got, err)
	}
	other := create(t, s, "new")
	if got, err := s.Find("old"); err != nil || got.ID != c.ID {
		t.Errorf("the container that was not renamed = %v, %v", got, err)
	}
	if got, err := s.Find("new"); err != nil || got.ID != other.ID {
		t.Errorf("the container that took the name = %v, %v", got, err)
	}
}

// A sweeper that took a folder for the rest of a dead creator may still be at its remains when the container that was made
// after all is removed.
func TestRemoveBesideSlowSweeper(t *testing.T) {
	s := newStore(t)
	c := create(t, s, "c1")
	if err := os.Mkdir(filepath.Join(s.data, removedPrefix+c.ID), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(c); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(s.data); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// A creator that is not at its lock yet must not lose its folder to a sweeper.
func TestSweepAmongCreators(t *testing.T) {
	s := newStore(t)
	stop, swept := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				swept <- nil
				return
			default:
				if err := s.Sweep(); err != nil {
					swept <- err
					return
				}
			}
		}
	}()
	for i := range 50 {
		c := create(t, s, fmt.Sprintf("c%d", i))
		if err := s.Remove(c); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if err := <-swept; err != nil {
		t.Errorf("sweep: %v", err)
	}
}
