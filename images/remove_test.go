package images

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestRemoveByName(t *testing.T) {
	s := testStore(t)
	i := mustImport(t, s, "one", rootfs(t, "1"))
	if err := s.Tag("one", "two:x"); err != nil {
		t.Fatal(err)
	}
	wantNames(t, s, "one", "one:latest", "two:x")
	wantRemoved(t, s, "two:x", false, "untagged two:x")
	wantRemoved(t, s, "one", false, "untagged one:latest", "deleted "+i.ID, "chain "+i.Layers[0].ChainID)
	if _, err := s.Find(i.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("error %v, want ErrNotFound", err)
	}
	wantClean(t, s)
	wantBlobs(t, s, 0)
}

func TestRemoveByID(t *testing.T) {
	s := testStore(t)
	i := mustImport(t, s, "one", rootfs(t, "1"))
	wantRemoved(t, s, i.ID[7:19], false, "untagged one:latest", "deleted "+i.ID, "chain "+i.Layers[0].ChainID)
	i = mustImport(t, s, "one", rootfs(t, "1"))
	if err := s.Tag("one", "two"); err != nil {
		t.Fatal(err)
	}
	wantConflict(t, s, i.ID, false, "unable to delete "+shortID(i.ID)+" (must be forced) - image is referenced in multiple repositories")
	wantRemoved(t, s, i.ID, true, "untagged one:latest", "untagged two:latest", "deleted "+i.ID, "chain "+i.Layers[0].ChainID)
	wantBlobs(t, s, 0)
}

const someContainer = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestRemoveInUse(t *testing.T) {
	s := testStore(t)
	i := mustImport(t, s, "one", rootfs(t, "1"))
	stopped := []User{{ID: someContainer}}
	running := []User{{ID: someContainer, Running: true}}
	wantConflict(t, s, "one", false, `unable to remove repository reference "one" (must force) - container 0123456789ab is using its referenced image `+shortID(i.ID), stopped...)
	wantConflict(t, s, i.ID, false, "unable to delete "+shortID(i.ID)+" (must be forced) - image is being used by stopped container 0123456789ab", stopped...)
	wantConflict(t, s, i.ID, true, "unable to delete "+shortID(i.ID)+" (cannot be forced) - image is being used by running container 0123456789ab", running...)
	if err := s.Tag("one", "two"); err != nil {
		t.Fatal(err)
	}
	wantRemoved2(t, s, "two", false, running, "untagged two:latest")
	wantRemoved2(t, s, "one", true, running, "untagged one:latest")
	wantNames(t, s, i.ID) // it stays without a name while it is used
	wantRemoved2(t, s, i.ID, true, stopped, "deleted "+i.ID, "chain "+i.Layers[0].ChainID)
}

func TestRemoveErrors(t *testing.T) {
	s := testStore(t)
	mustImport(t, s, "one", rootfs(t, "1"))
	for ref, want := range map[string]error{
		"two": ErrNotFound, "one:x": ErrNotFound, "sha256:ffffffff": ErrNotFound, someDigest: ErrNotFound, "": ErrReference, "One": ErrReference,
	} {
		if _, err := s.Remove(context.Background(), ref, false, nil); !errors.Is(err, want) {
			t.Errorf("%q: error %v, want %v", ref, err, want)
		}
	}
	wantNames(t, s, "one", "one:latest")
}

// TestRemoveShared removes an image whose layer another one has too: the layer must stay.
func TestRemoveShared(t *testing.T) {
	s := testStore(t)
	i := mustImport(t, s, "one", rootfs(t, "1"))
	other := mustImport(t, s, "two", rootfs(t, "1"), "ENV A=1")
	if i.ID == other.ID {
		t.Fatal("two configurations have one ID")
	}
	wantRemoved(t, s, "one", false, "untagged one:latest", "deleted "+i.ID)
	mustRead(t, s, other.Layers[0])
	wantClean(t, s)
}

// TestRetag gives a name to another image: the old one loses it, and stays until it is removed by ID.
func TestRetag(t *testing.T) {
	s := testStore(t)
	old := mustImport(t, s, "one", rootfs(t, "1"))
	now := mustImport(t, s, "one", rootfs(t, "2"))
	wantNames(t, s, old.ID)
	wantNames(t, s, now.ID, "one:latest")
	list, err := s.List()
	if err != nil || len(list) != 2 || list[0].ID != now.ID {
		t.Errorf("list of %d, %v; want the newer one first, then the older", len(list), err)
	}
	wantClean(t, s)
	if err := s.Tag(old.ID, "one"); err != nil {
		t.Fatal(err)
	}
	wantNames(t, s, old.ID, "one:latest")
	wantNames(t, s, now.ID)
	wantRemoved(t, s, now.ID, false, "deleted "+now.ID, "chain "+now.Layers[0].ChainID)
	wantClean(t, s)
}

func TestFindPrefix(t *testing.T) {
	s := testStore(t)
	var ids []string
	for n := range 17 { // with seventeen IDs two must begin alike
		ids = append(ids, mustImport(t, s, "", rootfs(t, strings.Repeat("x", n))).ID)
	}
	slices.Sort(ids)
	for n, id := range ids {
		if got := mustFind(t, s, id[:40]).ID; got != id {
			t.Errorf("%s found as %s", id, got)
		}
		if n > 0 && ids[n-1][7] == id[7] {
			if err := s.Tag(id, "named"); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Find(id[7:8]); !errors.Is(err, ErrAmbiguous) {
				t.Errorf("error %v, want ErrAmbiguous", err)
			} else if !strings.Contains(err.Error(), ids[n-1][7:19]) || !strings.Contains(err.Error(), "named:latest ("+id[7:19]+")") {
				t.Errorf("error %v: want the candidates in it", err)
			}
		}
	}
}

// describe puts what Remove did into words.
func describe(done []Removed) []string {
	var words []string
	for _, r := range done {
		if r.Untagged != "" {
			words = append(words, "untagged "+r.Untagged)
		}
		if r.Deleted != "" {
			words = append(words, "deleted "+r.Deleted)
		}
		for _, c := range r.Chains {
			words = append(words, "chain "+c)
		}
	}
	return words
}

func wantRemoved(t *testing.T, s *Store, ref string, force bool, want ...string) {
	t.Helper()
	wantRemoved2(t, s, ref, force, nil, want...)
}

func wantRemoved2(t *testing.T, s *Store, ref string, force bool, users []User, want ...string) {
	t.Helper()
	done, err := s.Remove(context.Background(), ref, force, func(string) []User { return users })
	if err != nil {
		t.Fatal(err)
	}
	if got := describe(done); !slices.Equal(got, want) {
		t.Errorf("removing %s: %q, want %q", ref, got, want)
	}
}

func wantConflict(t *testing.T, s *Store, ref string, force bool, want string, users ...User) {
	t.Helper()
	done, err := s.Remove(context.Background(), ref, force, func(string) []User { return users })
	if !errors.Is(err, ErrConflict) || err.Error() != "conflict: "+want || done != nil {
		t.Errorf("removing %s: %q, %v; want conflict: %s", ref, describe(done), err, want)
	}
}

func wantBlobs(t *testing.T, s *Store, want int) {
	t.Helper()
	if got := len(blobs(t, s)); got != want {
		t.Errorf("%d blobs, want %d", got, want)
	}
}
