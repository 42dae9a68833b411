package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
)

// TestFullDisk fills the disk in the middle of everything that adds blobs: the error says so, nothing stays, and what was
// there before is whole.
func TestFullDisk(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		dir := filepath.Join(h.Dir, "small")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
			t.Fatal(err)
		}
		s, err := Open(filepath.Join(dir, "images"))
		if err != nil {
			t.Fatal(err)
		}
		before := mustImport(t, s, "before", rootfs(t, "x"))
		big := rootfs(t, random(400_000))
		from := testStore(t)
		mustImport(t, from, "big", big)
		f := newRegistry(t)
		f.pushImage("big", "latest", random(1_000_000))
		for name, add := range map[string]func() error{
			"import": func() error {
				_, err := s.Import(context.Background(), bytes.NewReader(big), "big", ImportOptions{})
				return err
			},
			"load": func() error {
				_, err := s.Load(context.Background(), bytes.NewReader(save(t, from, "big")))
				return err
			},
			"pull": func() error {
				_, err := s.Pull(context.Background(), f.ref("big"), PullOptions{})
				return err
			},
		} {
			err := add()
			if !errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: error %v, want one line with ENOSPC", name, err)
			}
			wantClean(t, s)
		}
		mustRead(t, s, mustFind(t, s, "before").Layers[0])
		if list, err := s.List(); err != nil || len(list) != 1 || list[0].ID != before.ID {
			t.Errorf("list %+v, %v; want what was there before", list, err)
		}
		mustImport(t, s, "after", rootfs(t, "y"))
	})
}

// TestDamaged spoils the store's own files: Find says so, List and Remove go on.
func TestDamaged(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, s *Store, i Image){
		"manifest":        func(t *testing.T, s *Store, i Image) { damage(t, s, i.Digest) },
		"configuration":   func(t *testing.T, s *Store, i Image) { damage(t, s, i.ID) },
		"manifest gone":   func(_ *testing.T, s *Store, i Image) { os.Remove(s.blobPath(i.Digest)) },
		"manifest a FIFO": func(t *testing.T, s *Store, i Image) { replace(t, s.blobPath(i.Digest), makeFIFO) },
		"manifest huge":   func(t *testing.T, s *Store, i Image) { replace(t, s.blobPath(i.Digest), makeHuge) },
	} {
		t.Run(name, func(t *testing.T) {
			s := testStore(t)
			good := mustImport(t, s, "good", rootfs(t, "1"))
			bad := mustImport(t, s, "bad", rootfs(t, "2"))
			spoil(t, s, bad)
			if _, err := s.Find("bad"); err == nil {
				t.Error("a damaged image was found")
			}
			list, err := s.List()
			if err != nil || len(list) != 2 || list[0].ID != good.ID || list[1].ID != bad.ID || !slices.Equal(list[1].Names, []string{"bad:latest"}) {
				t.Errorf("list %+v, %v; want both", list, err)
			}
			wantRemoved(t, s, "bad", false, "untagged bad:latest", "deleted "+bad.ID)
			wantClean(t, s)
			mustRead(t, s, mustFind(t, s, "good").Layers[0])
		})
	}
}

func replace(t *testing.T, path string, by func(string) error) {
	t.Helper()
	if err := errors.Join(os.Remove(path), by(path)); err != nil {
		t.Fatal(err)
	}
}

func makeFIFO(path string) error { return unix.Mkfifo(path, 0o600) }

func makeHuge(path string) error {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	return os.Truncate(path, 1<<40)
}

func TestHugeIndex(t *testing.T) {
	s := testStore(t)
	replace(t, s.path(indexFile), makeHuge)
	if _, err := s.Find("x"); !errors.Is(err, ErrInvalid) {
		t.Errorf("error %v, want ErrInvalid", err)
	}
}

// TestForeignEntries finds what another program wrote into the layout: short names, no IDs, an index for several platforms.
func TestForeignEntries(t *testing.T) {
	s := testStore(t)
	i := mustImport(t, s, "mine", rootfs(t, "1"))
	index, err := s.readIndex()
	if err != nil {
		t.Fatal(err)
	}
	index.Manifests[0].Annotations = map[string]string{annotateRef: "theirs:1"}
	if err := os.WriteFile(s.path(indexFile), mustJSON(t, index), 0o600); err != nil {
		t.Fatal(err)
	}
	wantNames(t, s, "theirs:1", "theirs:1")
	wantNames(t, s, i.ID[:20], "theirs:1")
	if err := s.Tag("theirs:1", "ours"); err != nil {
		t.Fatal(err)
	}
	wantNames(t, s, i.ID, "ours:latest", "theirs:1")
	wantClean(t, s)
}

// TestParallelWriters has imports, tags and removals at the same time: none loses another's work.
func TestParallelWriters(t *testing.T) {
	s := testStore(t)
	shared := rootfs(t, "shared")
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			own, err := Open(s.dir)
			if err != nil {
				t.Error(err)
				return
			}
			name := fmt.Sprintf("image%d", n)
			for round := range 5 {
				_, err1 := own.Import(context.Background(), bytes.NewReader(shared), name, ImportOptions{Changes: []string{"ENV N=" + name}})
				err2 := own.Tag(name, fmt.Sprintf("%s:%d", name, round))
				_, err3 := own.Remove(context.Background(), name, false, nil)
				if err := errors.Join(err1, err2, err3); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for n := range 8 {
		for round := range 5 {
			mustRead(t, s, mustFind(t, s, fmt.Sprintf("image%d:%d", n, round)).Layers[0])
		}
	}
	wantClean(t, s)
}

// TestDeadWriters finds what killed processes left, which goes with the next writer; a young partial download stays.
func TestDeadWriters(t *testing.T) {
	s := testStore(t)
	hex := strings.Repeat("a", 64)
	old := time.Now().Add(-2 * keepPartial)
	for _, path := range []string{
		ingestDir + "/1" + tempSuffix, ingestDir + "/" + hex + partSuffix, ingestDir + "/" + hex[1:] + "b" + partSuffix,
		blobsDir + "/" + hex, "." + indexFile + ".1" + tempSuffix,
	} {
		if err := os.WriteFile(s.path(path), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(s.path(ingestDir+"/"+hex+partSuffix), old, old); err != nil {
		t.Fatal(err)
	}
	mustImport(t, s, "x", rootfs(t, "x"))
	if left := leftovers(t, s); len(left) != 1 || left[0] != ingestDir+"/"+hex[1:]+"b"+partSuffix {
		t.Errorf("left %q, want the young partial download alone", left)
	}
}

// TestCollectWaits removes an image while another process adds blobs: what that one needs stays.
func TestCollectWaits(t *testing.T) {
	s := testStore(t)
	mustImport(t, s, "x", rootfs(t, "x"))
	in, err := s.begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	d, err := in.put([]byte("{}"), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Remove(context.Background(), "x", false, nil); err != nil {
		t.Fatal(err)
	}
	if !s.has(d) {
		t.Error("a blob went that somebody was adding")
	}
	in.end()
	wantBlobs(t, s, 0)
}

func BenchmarkFind(b *testing.B) {
	s := testStore(b)
	for n := range 100 {
		mustImport(b, s, fmt.Sprintf("image%d", n), rootfs(b, "x"), fmt.Sprintf("ENV N=%d", n))
	}
	for b.Loop() {
		mustFind(b, s, "image50")
	}
}
