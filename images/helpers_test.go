package images

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// file is a member of a tar of the tests.
type file struct {
	name, body string
	link       string
	kind       byte
}

func tarOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.body)), Typeflag: tar.TypeReg, Linkname: f.link}
		if f.kind != 0 {
			h.Typeflag, h.Size = f.kind, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(w, f.body); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipOf(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstdOf(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

func testStore(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "images"))
	if err != nil {
		t.Fatal(err)
	}
	s.backoff = time.Millisecond
	return s
}

// rootfs is the tar of a root file system with one file in it.
func rootfs(t testing.TB, body string) []byte { return tarOf(t, file{name: "hello", body: body}) }

func mustImport(t testing.TB, s *Store, ref string, rootfs []byte, changes ...string) Image {
	t.Helper()
	i, err := s.Import(context.Background(), bytes.NewReader(rootfs), ref, ImportOptions{Changes: changes})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func mustFind(t testing.TB, s *Store, ref string) Image {
	t.Helper()
	i, err := s.Find(ref)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func mustRead(t testing.TB, s *Store, l Layer) []byte {
	t.Helper()
	r, err := s.OpenLayer(context.Background(), l)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// leftovers returns what a store holds besides its own files and what its names need.
func leftovers(t testing.TB, s *Store) []string {
	t.Helper()
	index, err := s.readIndex()
	if err != nil {
		t.Fatal(err)
	}
	needed, err := s.needed(index)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	err = filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
		name := strings.TrimPrefix(strings.TrimPrefix(path, s.dir), "/")
		base := filepath.Base(path)
		switch {
		case err != nil:
			return err
		case d.IsDir(), name == layoutFile, name == indexFile:
		case strings.HasPrefix(name, blobsDir) && needed["sha256:"+base]:
		default:
			found = append(found, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func wantClean(t testing.TB, s *Store) {
	t.Helper()
	if left := leftovers(t, s); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func wantNames(t testing.TB, s *Store, ref string, names ...string) {
	t.Helper()
	if got := mustFind(t, s, ref).Names; !slices.Equal(got, names) {
		t.Errorf("names of %s: %q, want %q", ref, got, names)
	}
}

// blobs returns the names of all blobs.
func blobs(t testing.TB, s *Store) []string {
	t.Helper()
	entries, err := os.ReadDir(s.path(blobsDir))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func untar(t testing.TB, data []byte) []file {
	t.Helper()
	var files []file
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		f := file{name: h.Name, body: string(body), link: h.Linkname}
		if h.Typeflag != tar.TypeReg {
			f.kind = h.Typeflag
		}
		files = append(files, f)
	}
}

// damage turns over one bit of a blob.
func damage(t testing.TB, s *Store, digest string) {
	t.Helper()
	data, err := os.ReadFile(s.blobPath(digest))
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(s.blobPath(digest), data, 0o600); err != nil {
		t.Fatal(err)
	}
}
