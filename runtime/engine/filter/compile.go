//go:build ctr_patched && cgo

package filter

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/opencontainers/runc/libcontainer/configs"
	"github.com/opencontainers/runc/libcontainer/seccomp"
)

// Compile compiles a profile. The program is for builds that cannot.
func Compile(profile *configs.Seccomp, _ string) (Compiled, error) {
	for _, flag := range profile.Flags {
		if err := seccomp.FlagSupported(flag); err != nil {
			return Compiled{}, err
		}
	}
	var c Compiled
	var err error
	c.Filter, c.Flags, err = seccomp.Compile(profile)
	return c, err
}

// Compiler names what compiles, for who keeps the results.
func Compiler(string) string { return fmt.Sprint(seccomp.Version()) }

// Serve reads a profile from in and writes the Compiled one to out, both as JSON.
func Serve(in io.Reader, out io.Writer) error {
	var profile configs.Seccomp
	if err := json.NewDecoder(in).Decode(&profile); err != nil {
		return fmt.Errorf("read seccomp profile: %w", err)
	}
	c, err := Compile(&profile, "")
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(c)
}
