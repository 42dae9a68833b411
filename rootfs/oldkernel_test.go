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
