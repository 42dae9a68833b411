// Package embedded holds the small programs that ctr executes in its own place: `make` builds and compresses them into programs/
// before it builds ctr (hack/embed). Where they are missing (a plain `go build`), the large program that they are parts of does
// their work.
//
// It owns <data root>/bin/: the programs, each named by its content, so that two versions of ctr never overwrite each other's.
package embedded

import (
	"compress/gzip"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"ctr/internal/durable"
)

//go:embed programs
var programs embed.FS

// Program is one of the programs, by its name.
type Program string

const (
	// Keeper keeps a container once it has settled (package keep).
	Keeper Program = "keeper"
	// Init becomes the processes of containers (package engine).
	Init Program = "init"
)

// ErrMissing is returned by Path when ctr was built without the program.
var ErrMissing = errors.New("ctr was built without this program")

// Path returns where the program is, and unpacks it below the data root if nobody has before.
func (p Program) Path(dataRoot string) (string, error) {
	name, err := p.file()
	if err != nil {
		return "", err
	}
	packed, err := programs.Open("programs/" + name)
	if err != nil {
		return "", fmt.Errorf("unpack %s: %w", p, err)
	}
	defer packed.Close()
	size, err := unpackedSize(packed)
	if err != nil {
		return "", fmt.Errorf("unpack %s: %w", p, err)
	}
	path := filepath.Join(dataRoot, "bin", strings.TrimSuffix(name, ".gz"))
	there := func() bool {
		info, err := os.Stat(path)
		return err == nil && info.Size() == size
	}
	if there() {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("unpack %s: %w", p, err)
	}
	// One at a time: processes of several files would not share the memory of their code.
	unlock, err := durable.Lock(filepath.Dir(path))
	if err != nil {
		return "", fmt.Errorf("unpack %s: %w", p, err)
	}
	defer unlock()
	if there() {
		return path, nil
	}
	if err := unpack(packed, path); err != nil {
		return "", fmt.Errorf("unpack %s: %w", p, err)
	}
	return path, nil
}

// file returns the name of the compressed program: <name>-<16 digits of its checksum>.gz.
func (p Program) file() (string, error) {
	entries, err := programs.ReadDir("programs")
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), string(p)+"-") {
			return e.Name(), nil
		}
	}
	return "", fmt.Errorf("%w: %s", ErrMissing, p)
}

// unpackedSize reads the size of the content from the file's last bytes (RFC 1952, ISIZE), and goes back to the first.
func unpackedSize(packed io.Reader) (int64, error) {
	f, ok := packed.(io.ReadSeeker)
	if !ok {
		panic("impossible: embed's files can be read from anywhere")
	}
	var size uint32
	if _, err := f.Seek(-4, io.SeekEnd); err != nil {
		return 0, err
	}
	if err := binary.Read(f, binary.LittleEndian, &size); err != nil {
		return 0, err
	}
	_, err := f.Seek(0, io.SeekStart)
	return int64(size), err
}

func unpack(packed io.Reader, path string) error {
	r, err := gzip.NewReader(packed)
	if err != nil {
		return err
	}
	code, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	// A temporary file, fsync and rename: a program that a crash cut short would be executed.
	return durable.WriteFile(path, code, 0o755, durable.Fsync)
}
