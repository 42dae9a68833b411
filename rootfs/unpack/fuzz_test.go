package unpack_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/rootfs/inroot"
	. "ctr/rootfs/internal/tartest"
	"ctr/rootfs/unpack"
)

// FuzzUnpack unpacks whatever comes, beside a victim that must not change.
func FuzzUnpack(f *testing.F) {
	if os.Geteuid() != 0 {
		f.Skip("needs root, to make devices and give files away")
	}
	for _, way := range routes("/tmp/victim") {
		for _, deed := range deeds {
			f.Add(Archive(f, append(append([]Entry{}, way...), deed...)...))
		}
	}
	f.Add(sparseBomb())
	f.Fuzz(func(t *testing.T, archive []byte) {
		dir := t.TempDir()
		outside := filepath.Join(dir, "victim")
		layer := filepath.Join(dir, "layer")
		if err := errors.Join(os.Mkdir(outside, 0o700), os.Mkdir(layer, 0o700), os.WriteFile(outside+"/hello", []byte("untouched"), 0o600)); err != nil {
			t.Fatal(err)
		}
		before := Tree(t, outside)
		root, err := inroot.Open(layer)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		err = unpack.Unpack(t.Context(), root, bytes.NewReader(archive), unpack.Options{MaxBytes: 16 << 20, MaxEntries: 1000})
		if errors.Is(err, unix.EBADF) || errors.Is(err, unix.EFAULT) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ENOTEMPTY) {
			t.Errorf("the archive led to %v", err)
		}
		if d := Diff(before, Tree(t, outside)); d != "" {
			t.Errorf("outside changed:\n%s", d)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
			t.Errorf("beside the layer: %v, %v", entries, err)
		}
		if err := inroot.Empty(root.File()); err != nil {
			t.Errorf("remove what was unpacked: %v", err)
		}
	})
}
