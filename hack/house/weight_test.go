package house_test

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// keeperPackages are all that the keeper consists of, besides the standard library's internal ones and what those bring along:
// it stays beside each container, and each package costs every one of them memory. Above all it has no libcontainer, no
// netlink, no crypto/tls and no net/http.
var keeperPackages = []string{
	"bufio", "bytes", "cmp", "context", "ctr/internal/proc", "ctr/network/dns", "ctr/network/names", "ctr/network/netns",
	"ctr/network/ports", "ctr/runtime/attach", "ctr/runtime/keep", "ctr/runtime/keep/keeper", "ctr/runtime/logs", "encoding",
	"encoding/base64", "encoding/binary", "encoding/hex", "encoding/json", "errors", "fmt", "golang.org/x/sys/unix", "io",
	"io/fs", "iter", "math", "math/bits", "math/rand/v2", "net", "net/netip", "os", "os/signal", "path", "path/filepath",
	"reflect", "runtime", "runtime/cgo", "slices", "sort", "strconv", "strings", "sync", "sync/atomic", "syscall", "time",
	"unicode", "unicode/utf16", "unicode/utf8", "unique", "unsafe", "weak",
}

func TestTheKeeperStaysSmall(t *testing.T) {
	t.Parallel()
	list := exec.Command("go", "list", "-deps", "./runtime/keep/keeper")
	list.Dir, list.Stderr = "../..", os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for name := range strings.FieldsSeq(string(out)) {
		ours := strings.HasPrefix(name, "ctr/")
		if ours || !strings.HasPrefix(name, "internal/") && !strings.Contains(name, "/internal/") && !strings.HasPrefix(name, "vendor/") {
			found = append(found, name)
		}
	}
	if len(found) < 20 {
		t.Fatalf("go list found %q only", found)
	}
	for _, name := range found {
		if !slices.Contains(keeperPackages, name) {
			t.Errorf("the keeper links %s", name)
		}
	}
}

// What the initialisation of packages may cost each start of ctr, three for a container. The bytes allocated are the same on
// every machine; the time is the least of many starts, 0.7 ms where this was written, and leaves room for a busy one.
const (
	maxInitBytes        = 170_000
	maxInitMilliseconds = 2.0
)

var initLine = regexp.MustCompile(`(?m)^init \S+ @\S+ ms, (\S+) ms clock, (\d+) bytes, \d+ allocs$`)

func TestPackagesInitialiseQuickly(t *testing.T) {
	binary := os.Getenv("CTR_BIN")
	if binary == "" {
		t.Skip("CTR_BIN is not set")
	}
	initialisesQuickly(t, maxInitBytes, maxInitMilliseconds, true, binary, "version")
}

// C costs each start of a program 0.5 ms: what needs it is in the init program.
func TestThereIsNoC(t *testing.T) {
	t.Parallel()
	binary := os.Getenv("CTR_BIN")
	if binary == "" {
		t.Skip("CTR_BIN is not set")
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(info.Settings, debug.BuildSetting{Key: "CGO_ENABLED", Value: "0"}) {
		t.Errorf("%s is built with cgo", binary)
	}
}

// initialisesQuickly adds up what the initialisation of a program's packages costs.
func initialisesQuickly(t *testing.T, maxBytes int, maxMilliseconds float64, succeeds bool, argv ...string) {
	t.Helper()
	least := maxMilliseconds * 1000
	for range 20 {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
		trace, err := cmd.CombinedOutput()
		if (err == nil) != succeeds {
			t.Fatalf("%s: %v: %s", argv, err, trace)
		}
		clock, bytes := 0.0, 0
		for _, m := range initLine.FindAllStringSubmatch(string(trace), -1) {
			took, err1 := strconv.ParseFloat(m[1], 64)
			allocated, err2 := strconv.Atoi(m[2])
			if err1 != nil || err2 != nil {
				t.Fatalf("cannot read %q", m[0])
			}
			clock, bytes = clock+took, bytes+allocated
		}
		if bytes == 0 || bytes > maxBytes {
			t.Fatalf("packages allocate %d bytes at each start, more than %d:\n%s", bytes, maxBytes, trace)
		}
		least = min(least, clock)
	}
	if least > maxMilliseconds {
		t.Errorf("packages take %.1f ms at each start, more than %.1f", least, maxMilliseconds)
	}
}
