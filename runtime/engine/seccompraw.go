//go:build ctr_patched

package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	"ctr/internal/durable"
	"ctr/runtime/container"
	"ctr/runtime/engine/filter"
)

// compiledFilter returns the filter compiled, from the cache if it is there: compiling takes 17 ms. What is in the folder is never checked against
// the profile: it must be writable for root only. Files of other versions stay until somebody empties the folder.
func compiledFilter(cache string, s container.Security, granted []string) (*configs.Seccomp, error) {
	key, err := filterKey(s, granted)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(cache, key)
	var file filter.Compiled
	err = durable.ReadJSON(path, &file)
	if err == nil && len(file.Filter) > 0 {
		return &configs.Seccomp{RawFilter: file.Filter, RawFlags: file.Flags}, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, durable.ErrDamaged) {
		return nil, fmt.Errorf("read compiled seccomp filter: %w", err)
	}
	profile, err := seccompProfile(s, granted)
	if err != nil || profile == nil || profile.ListenerPath != "" {
		return profile, err // a filter with a listener has to be loaded by who talks to it
	}
	if file, err = filter.Compile(profile, libcontainer.InitPath); err != nil {
		return nil, fmt.Errorf("compile seccomp profile: %w", err)
	}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return nil, fmt.Errorf("keep compiled seccomp filter: %w", err)
	}
	if err := durable.WriteJSON(path, file, durable.NoFsync); err != nil {
		return nil, fmt.Errorf("keep compiled seccomp filter: %w", err)
	}
	return &configs.Seccomp{RawFilter: file.Filter, RawFlags: file.Flags}, nil
}

// filterKey names a filter by all that it is made from: the profile, the capabilities and kernel that its rules depend on,
// and the compiler.
func filterKey(s container.Security, granted []string) (string, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return "", fmt.Errorf("read kernel release: %w", err)
	}
	made := struct {
		Profile, Arch, Kernel, Compiler string
		Granted, Modules                []string
	}{
		Profile: s.Seccomp, Arch: runtime.GOARCH, Kernel: unix.ByteSliceToString(uts.Release[:]),
		Compiler: filter.Compiler(libcontainer.InitPath), Granted: granted, Modules: filterModules(),
	}
	text, err := json.Marshal(made)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// filterModules are the versions of the modules that a filter comes from.
func filterModules() []string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	var versions []string
	for _, m := range info.Deps {
		if strings.HasPrefix(m.Path, "github.com/moby/profiles") || strings.HasPrefix(m.Path, "github.com/opencontainers/run") {
			versions = append(versions, m.Path+"@"+m.Version)
		}
	}
	return versions
}
