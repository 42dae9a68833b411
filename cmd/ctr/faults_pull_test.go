package main_test

import (
	"io"
	"log"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// A pull for which the disk has no room, or no inode, from the first byte or in the middle of a layer, says so, leaves all that
// there was and takes no room; with room it works.
func TestB5FullDiskPull(t *testing.T) {
	t.Parallel()
	for name, full := range map[string]struct{ options, fill, leave string }{
		"blocks":      {"size=64m", `head -c 100M /dev/zero >"$1/filler"`, ""},
		"some-blocks": {"size=64m", `head -c 100M /dev/zero >"$1/filler"`, `truncate -s -7M "$1/filler"`},
		"more-blocks": {"size=64m", `head -c 100M /dev/zero >"$1/filler"`, `truncate -s -12M "$1/filler"`},
		"inodes":      {"size=64m,nr_inodes=3k", fillInodes, ""},
		"some-inodes": {"size=64m,nr_inodes=3k", fillInodes, `rm "$1/filler/1" "$1/filler/2"`},
		"four-inodes": {"size=64m,nr_inodes=3k", fillInodes, `rm "$1/filler/"[1-4]`},
	} {
		t.Run(name, func(t *testing.T) {
			faults(t, func(v *victims) { v.fullDiskPull(full.options, full.fill, full.leave) })
		})
	}
}

func (v *victims) fullDiskPull(options, fill, leave string) {
	v.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	ref := strings.TrimPrefix(server.URL, "http://") + "/app:latest"
	image := must(random.Image(5<<20, 3))
	if err := remote.Write(must(name.ParseReference(ref)), image); err != nil {
		v.Fatal(err)
	}
	defer v.smallRoot(options)()
	v.note()
	before, room := v.must("images", "-q", "--no-trunc"), v.usedBy("images")
	_ = exec.Command("sh", "-c", fill, "sh", v.h.Root).Run() // it ends with the error that is wanted
	v.shell(leave, v.h.Root)
	if o := v.try("pull", ref); o.code != 1 || !strings.Contains(o.stderr, "no space left on device") || strings.Count(o.stderr, "ctr: ") != 1 {
		v.Errorf("pull on a full disk: %+v", o)
	}
	if after := v.must("images", "-q", "--no-trunc"); after != before {
		v.Errorf("images before: %q, after: %q", before, after)
	}
	if now := v.usedBy("images"); now > room+64<<10 {
		v.Errorf("the pull that failed keeps %d bytes", now-room)
	}
	v.shell(`rm -rf "$1/filler"`, v.h.Root)
	v.must("pull", ref)
	v.must("rmi", ref)
	v.healed()
}

// usedBy is how much room the files below a folder of the root take.
func (v *victims) usedBy(dir string) int64 {
	v.Helper()
	out := must(exec.Command("du", "--summarize", "--bytes", filepath.Join(v.h.Root, dir)).Output())
	return must(strconv.ParseInt(strings.Fields(string(out))[0], 10, 64))
}

// fillInodes takes all inodes of the file system of a folder.
const fillInodes = `mkdir "$1/filler"; i=0; while : >"$1/filler/$i"; do i=$((i + 1)); done`

// smallRoot moves the data root to a file system of its own, which is small.
func (v *victims) smallRoot(options string) (undo func()) {
	v.Helper()
	root := filepath.Join(v.h.Dir, "small")
	v.shell(`mkdir "$2" && mount -t tmpfs -o "$1" tmpfs "$2" && cp -a "$CTR_ROOT/." "$2" && umount -l "$CTR_ROOT" 2>/dev/null; mount --bind "$2" "$CTR_ROOT"`, options, root)
	return func() { v.shell(`umount "$CTR_ROOT"; umount "$1"; rmdir "$1"`, root) }
}

// shell runs a script, which must succeed.
func (v *victims) shell(script string, args ...string) {
	v.Helper()
	cmd := exec.Command("sh", append([]string{"-c", script, "sh"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		v.Fatalf("%s: %v: %s", script, err, out)
	}
}
