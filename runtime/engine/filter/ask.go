//go:build ctr_patched && !cgo

package filter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/opencontainers/runc/libcontainer/configs"
)

// Compile has the program compile a profile: the init program, by its absolute path. It takes a start of that, once for each
// filter.
func Compile(profile *configs.Seccomp, program string) (Compiled, error) {
	in, err := json.Marshal(profile)
	if err != nil {
		return Compiled{}, err
	}
	cmd := exec.Command(program, Word)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return Compiled{}, errors.New(string(bytes.TrimSpace(exit.Stderr)))
	}
	if err != nil {
		return Compiled{}, fmt.Errorf("run %s: %w", program, err)
	}
	var c Compiled
	if err := json.Unmarshal(out, &c); err != nil {
		return Compiled{}, fmt.Errorf("read what %s answered: %w", program, err)
	}
	return c, nil
}

// Compiler names what compiles, for who keeps the results: the program's name tells its content.
func Compiler(program string) string { return filepath.Base(program) }
