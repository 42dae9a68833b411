// Package embedded holds the small keeper program, which `make` builds and puts into program/ before it builds ctr. Where it
// is missing (a plain `go build`), monitors go on as the large program that they are.
//
// It owns <data root>/bin/: the program, named by its content, so that two versions of ctr never overwrite each other's.
package embedded

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ctr/internal/durable"
)

//go:embed program
var program embed.FS

// ErrMissing is returned by Open when ctr was built without the program.
var ErrMissing = errors.New("ctr was built without its keeper program")

// Open returns the program, open for execution, and unpacks it below the data root if nobody has before. The caller closes it.
func Open(dataRoot string) (*os.File, error) {
	code, err := program.ReadFile("program/keeper")
	if err != nil {
		return nil, ErrMissing
	}
	sum := sha256.Sum256(code)
	dir := filepath.Join(dataRoot, "bin")
	path := filepath.Join(dir, "keeper-"+hex.EncodeToString(sum[:8]))
	there := func() bool {
		info, err := os.Stat(path)
		return err == nil && info.Size() == int64(len(code))
	}
	if there() {
		return os.Open(path)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("unpack keeper: %w", err)
	}
	// One at a time: keepers of several files would not share the memory of their code.
	unlock, err := durable.Lock(dir)
	if err != nil {
		return nil, fmt.Errorf("unpack keeper: %w", err)
	}
	defer unlock()
	if there() {
		return os.Open(path)
	}
	// A temporary file, fsync and rename: a program that a crash cut short would be executed.
	if err := durable.WriteFile(path, code, 0o700, durable.Fsync); err != nil {
		return nil, fmt.Errorf("unpack keeper: %w", err)
	}
	return os.Open(path)
}
