package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"ctr/internal/testhost"
)

// The data roots that are prepared once for all scripts, by the name of the folder that holds them, and the images in each.
// Most scripts need busybox alone, and get it in a few milliseconds.
var preparedImages = map[string][]string{
	"small": {"busybox"},
	"large": {"busybox", "toolbox", "db"},
}

// envPrepared tells the scripts in their hosts where the prepared data roots are.
const envPrepared = "CTR_TEST_PREPARED"

var (
	prepareOnce sync.Once
	preparedDir string // empty: nothing was prepared
)

// TestMain removes what prepare has made.
func TestMain(m *testing.M) {
	code := m.Run()
	if preparedDir != "" {
		if err := os.RemoveAll(preparedDir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// prepare builds the binary if there is none, and makes the prepared data roots, once for all tests.
func prepare(t *testing.T) {
	t.Helper()
	prepareOnce.Do(func() { prepareImages(t) })
	if t.Failed() || preparedDir == "" {
		t.Fatal("nothing is prepared")
	}
}

func prepareImages(t *testing.T) {
	t.Helper()
	repository, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("CTR_BIN") == "" {
		run(t, nil, "make", "--no-print-directory", "-C", repository, "build")
		setenv(t, "CTR_BIN", filepath.Join(repository, "bin/ctr"))
	}
	// Beside the folders of the hosts, so that files can be linked.
	parent := os.Getenv("CTR_TEST_DIR")
	if parent == "" {
		parent = "/var/tmp"
	}
	dir, err := os.MkdirTemp(parent, "ctr-test-images-")
	if err != nil {
		t.Fatal(err)
	}
	preparedDir = dir
	setenv(t, envPrepared, dir)
	for name, images := range preparedImages {
		root := filepath.Join(dir, name)
		env := append(os.Environ(), "CTR_ROOT="+root, "CTR_RUN_ROOT="+filepath.Join(dir, "run"))
		run(t, env, filepath.Join(repository, "hack/images/import"), append([]string{os.Getenv("CTR_BIN")}, images...)...)
		// The layers are unpacked when a container is made of them.
		for _, image := range images {
			run(t, env, "unshare", "--net", os.Getenv("CTR_BIN"), "create", "--name", "unpack", "-e", "MYSQL_ROOT_PASSWORD=x", image)
			run(t, env, "unshare", "--net", os.Getenv("CTR_BIN"), "rm", "unpack")
		}
	}
}

// useImages puts a prepared data root's images in the place of those that the host has. The files are shared with it by hard
// links: neither blobs nor unpacked layers are ever written to.
func useImages(h *testhost.Host, prepared string) error {
	for _, part := range []string{"images", "layers"} {
		target := filepath.Join(h.Root, part)
		if err := os.RemoveAll(target); err != nil {
			return err
		}
		if err := os.MkdirAll(h.Root, 0o700); err != nil {
			return err
		}
		source := filepath.Join(os.Getenv(envPrepared), prepared, part)
		if err := exec.Command("cp", "--archive", "--link", source, target).Run(); err == nil {
			continue
		}
		// In a host whose folder is a tmpfs, it takes copies.
		if out, err := exec.Command("cp", "--archive", "--no-target-directory", source, target).CombinedOutput(); err != nil {
			return fmt.Errorf("copy images: %w: %s", err, out)
		}
	}
	return nil
}

// setenv sets a variable for the rest of the run, for the tests in their hosts too (t.Setenv refuses in parallel ones).
func setenv(t *testing.T, name, value string) {
	t.Helper()
	if err := os.Setenv(name, value); err != nil { //nolint:usetesting // see above
		t.Fatal(err)
	}
}

// run runs a command that must succeed. A nil env is ours.
func run(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}
