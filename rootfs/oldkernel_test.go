package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
)

// What such a kernel cannot do is refused: it would leave out what is behind the first page of options, and follow a link.
func TestMountOldRefuses(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		o := Overlay{Upper: h.Dir + "/u", Work: h.Dir + "/w", Target: h.Dir + "/t", Lower: []string{h.Dir + "/l"}}
		for _, d := range []string{o.Upper, o.Work, o.Target, o.Lower[0]} {
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(o.Target, h.Dir+"/link"); err != nil {
			t.Fatal(err)
		}
		many, link := o, o
		for len(many.Lower) < 400 {
			many.Lower = append(many.Lower, o.Lower[0])
		}
		link.Target = h.Dir + "/link"
		for want, o := range map[error]Overlay{ErrTooManyLayers: many, unix.ENOTDIR: link} {
			err := WithPrivateMounts(func() error {
				dirs, err := o.open()
				defer dirs.close()
				if err != nil {
					return err
				}
				return dirs.mountOld(o)
			})
			if !errors.Is(err, want) {
				t.Errorf("%d layers on %s: %v, want %v", len(o.Lower), o.Target, err, want)
			}
		}
	})
}

// TestMountOld mounts as on a kernel before Linux 6.5, where all layers are one option of at most a page.
func TestMountOld(t *testing.T) {
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		o := Overlay{Upper: h.Dir + "/u", Work: h.Dir + "/w", Target: h.Dir + "/t", ReadOnly: true, Volatile: true}
		for _, d := range []string{o.Upper, o.Work, o.Target} {
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 200 {
			d := filepath.Join(h.Dir, fmt.Sprint("layer-", i))
			if err := errors.Join(os.Mkdir(d, 0o755), os.WriteFile(filepath.Join(d, fmt.Sprint(i)), nil, 0o644)); err != nil {
				t.Fatal(err)
			}
			o.Lower = append(o.Lower, d)
		}
		err := WithPrivateMounts(func() error {
			dirs, err := o.open()
			defer dirs.close()
			if err != nil {
				return err
			}
			if err := dirs.mountOld(o); err != nil {
				return err
			}
			entries, err := os.ReadDir(o.Target)
			if len(entries) != 200 {
				t.Errorf("%d files are seen, want 200", len(entries))
			}
			if err := os.WriteFile(o.Target+"/new", nil, 0o644); !errors.Is(err, unix.EROFS) {
				t.Errorf("writing gives %v, want EROFS", err)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
