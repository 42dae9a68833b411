package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ctr/internal/durable"
)

// Usage is how many bytes the files below a folder have.
func Usage(dir string) int64 {
	var sum int64
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error { //nolint:errcheck // what goes meanwhile takes nothing
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fs.SkipDir
		}
		if d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				sum += info.Size()
			}
		}
		return nil
	})
	return sum
}

// sizeSuffix ends the name of the file beside a layer that says how large it is.
const sizeSuffix = ".size"

// Size is how many bytes the files of a layer have; 0 if it is not there. Layers never change: it is counted once, and written down.
func (l *Layers) Size(chainID string) int64 {
	if !l.Has(chainID) {
		return 0
	}
	record := l.Path(chainID) + sizeSuffix
	if text, err := os.ReadFile(record); err == nil {
		if n, err := strconv.ParseInt(string(text), 10, 64); err == nil && n >= 0 {
			return n
		}
	}
	n := Usage(l.Path(chainID))
	_ = durable.WriteFile(record, strconv.AppendInt(nil, n, 10), 0o600, durable.NoFsync) // or it is counted again
	return n
}

// forgetSize removes the record of a layer that has gone.
func (l *Layers) forgetSize(entry string) error {
	name, ok := strings.CutSuffix(entry, sizeSuffix)
	if !ok || !isLayerName(name) || l.Has(name) {
		return nil
	}
	if err := os.Remove(filepath.Join(l.dir, entry)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
