// Package tartest makes tar archives for tests, and tells what a folder holds. It owns nothing.
package tartest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Time is the modification time of every entry.
var Time = time.Unix(1_600_000_000, 123_456_789)

// Entry is one entry of an archive.
type Entry struct {
	tar.Header
	Body string
}

// Dir is a folder.
func Dir(name string, mode int64) Entry {
	return Entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode}}
}

// File is a regular file of mode 0644.
func File(name, body string) Entry {
	return Entry{Header: tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(body))}, Body: body}
}

// Symlink is a symbolic link.
func Symlink(name, target string) Entry {
	return Entry{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}}
}

// Link is a hard link.
func Link(name, target string) Entry {
	return Entry{Header: tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}}
}

// Node is a device or a FIFO. GNU's format holds larger device numbers than POSIX's.
func Node(kind byte, name string, major, minor int64) Entry {
	return Entry{Header: tar.Header{
		Typeflag: kind, Name: name, Mode: 0o600, Devmajor: major, Devminor: minor,
		ModTime: Time.Truncate(time.Second), Format: tar.FormatGNU,
	}}
}

// Xattr adds an extended attribute.
func (e Entry) Xattr(name, value string) Entry {
	records := map[string]string{"SCHILY.xattr." + name: value}
	maps.Copy(records, e.PAXRecords)
	e.PAXRecords = records
	return e
}

// Owner sets the owner.
func (e Entry) Owner(uid, gid int) Entry {
	e.Uid, e.Gid = uid, gid
	return e
}

// Perm sets the mode.
func (e Entry) Perm(mode int64) Entry {
	e.Mode = mode
	return e
}

// Archive makes an archive.
func Archive(t testing.TB, entries ...Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := e.Header
		if h.ModTime.IsZero() && h.Typeflag != tar.TypeXGlobalHeader {
			h.ModTime = Time
		}
		if h.Format == tar.FormatUnknown {
			h.Format = tar.FormatPAX
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatalf("write header of %q: %v", h.Name, err)
		}
		if _, err := w.Write([]byte(e.Body)); err != nil {
			t.Fatalf("write %q: %v", h.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Tree describes everything below a folder, one line a file, by name: "file 0644 0:0 content", "dir 0755 0:0",
// "link 0:0 -> target", "whiteout", "char 0600 0:0 1:3". An opaque folder is "dir 0755 0:0 opaque".
func Tree(t testing.TB, root string) map[string]string {
	t.Helper()
	tree := map[string]string{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil || name == "." {
			return err
		}
		tree[name], err = describe(path)
		return err
	})
	if err != nil {
		t.Fatalf("walk: %v", err)
	}
	return tree
}

func describe(path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "", err
	}
	kinds := map[uint32]string{
		unix.S_IFREG: "file", unix.S_IFDIR: "dir", unix.S_IFCHR: "char", unix.S_IFBLK: "block", unix.S_IFIFO: "fifo", unix.S_IFSOCK: "socket",
	}
	common := fmt.Sprintf("%s %04o %d:%d", kinds[st.Mode&unix.S_IFMT], st.Mode&0o7777, st.Uid, st.Gid)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		return fmt.Sprintf("link %d:%d -> %s", st.Uid, st.Gid, target), err
	case unix.S_IFREG:
		data, err := os.ReadFile(path)
		return strings.TrimSpace(common + " " + string(data)), err
	case unix.S_IFCHR, unix.S_IFBLK:
		if st.Rdev == 0 {
			return "whiteout", nil
		}
		return fmt.Sprintf("%s %d:%d", common, unix.Major(st.Rdev), unix.Minor(st.Rdev)), nil
	case unix.S_IFDIR:
		value := make([]byte, 1)
		if n, err := unix.Lgetxattr(path, "trusted.overlay.opaque", value); err == nil && n == 1 && value[0] == 'y' {
			return common + " opaque", nil
		}
	}
	return common, nil
}

// Diff compares two trees and returns one line for each difference.
func Diff(want, got map[string]string) string {
	var lines []string
	for name, w := range want {
		if g, ok := got[name]; !ok {
			lines = append(lines, fmt.Sprintf("%s: missing, want %s", name, w))
		} else if g != w {
			lines = append(lines, fmt.Sprintf("%s: %s, want %s", name, g, w))
		}
	}
	for name, g := range got {
		if _, ok := want[name]; !ok {
			lines = append(lines, fmt.Sprintf("%s: unexpected %s", name, g))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
