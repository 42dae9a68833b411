package firewall

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
)

// What a kernel lacks is named, with the option to build it with.
func TestExplain(t *testing.T) {
	t.Parallel()
	for i, lacking := range parts() {
		tried := 0
		err := explain(unix.ENOENT, func(ruleset) error {
			tried++
			if tried > i {
				return unix.EOPNOTSUPP
			}
			return nil
		})
		if !errors.Is(err, ErrUnsupported) || !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), lacking.option) {
			t.Errorf("a kernel without %s: %v", lacking.what, err)
		}
	}
	if err := explain(unix.EINVAL, func(ruleset) error { return nil }); !errors.Is(err, unix.EINVAL) || errors.Is(err, ErrUnsupported) {
		t.Errorf("a kernel that lacks nothing: %v", err)
	}
}

// Every probe works on a kernel that has it all, and leaves nothing.
func TestProbes(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		if err := Open(nil, "").explain(unix.EINVAL); errors.Is(err, ErrUnsupported) {
			t.Error(err)
		}
		s, err := dial(nil, 1, "ctr")
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		if tables, err := s.kernel.ListTables(); err != nil || len(tables) > 0 {
			t.Errorf("tables after the probes: %v, %v", tables, err)
		}
	})
}
