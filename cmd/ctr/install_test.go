package main_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// `make install` puts the program, its manual, its completion and its unit below PREFIX, and `make uninstall` takes all of that
// away again.
func TestInstall(t *testing.T) {
	t.Parallel()
	if testing.Short() || os.Geteuid() != 0 {
		t.Skip("takes the binary of make build")
	}
	prepare(t)
	// A copy of what it needs: the repository may be read-only, and other tests use its bin.
	dir, dest := t.TempDir(), t.TempDir()
	for _, name := range []string{"Makefile", "hack"} {
		run(t, nil, "cp", "-r", filepath.Join("../..", name), dir)
	}
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(os.Getenv("CTR_BIN"), filepath.Join(dir, "bin/ctr")); err != nil {
		t.Fatal(err)
	}
	args := []string{"--no-print-directory", "-C", dir, "-o", "build", "PREFIX=/opt/ctr", "DESTDIR=" + dest}
	run(t, nil, "make", append(slices.Clone(args), "install")...)
	for name, text := range map[string]string{
		"bin/ctr":                                  "\x7fELF",
		"share/bash-completion/completions/ctr":    "complete -o default -F _ctr ctr",
		"share/zsh/site-functions/_ctr":            "#compdef ctr",
		"share/fish/vendor_completions.d/ctr.fish": "complete -c ctr",
		"share/man/man1/ctr.1":                     ".BR ctr\\-network (1)",
		"share/man/man1/ctr-run.1":                 ".SH EXAMPLE",
		"share/man/man1/ctr-container-prune.1":     ".SH SEE ALSO\n.BR ctr\\-container (1)",
		"lib/systemd/system/ctr-restore.service":   "ExecStart=/opt/ctr/bin/ctr system restore",
	} {
		b, err := os.ReadFile(filepath.Join(dest, "opt/ctr", name))
		if err != nil {
			t.Error(err)
		} else if !strings.Contains(string(b), text) {
			t.Errorf("%s has no %q", name, text)
		}
	}
	run(t, nil, "make", append(args, "uninstall")...)
	err := filepath.WalkDir(dest, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("left by uninstall: %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
