package testhost_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ctr/internal/testhost"
)

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestHostIsFresh(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		if ppid := os.Getppid(); ppid != 1 {
			t.Errorf("the test is a child of process %d, want PID 1 of its host", ppid)
		}
		if got := run(t, "ip", "-o", "link"); strings.Count(got, "\n") != 1 || !strings.Contains(got, "LOOPBACK,UP") {
			t.Errorf("links of a fresh host:\n%s", got)
		}
		entries, err := os.ReadDir("/sys/class/net")
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != 1 || entries[0].Name() != "lo" {
			t.Errorf("/sys shows the links of another host: %v", entries)
		}
		if got := run(t, "nft", "list", "ruleset"); got != "" {
			t.Errorf("rules of a fresh host:\n%s", got)
		}
		if _, err := os.Stat("/sys/fs/cgroup"); err != nil {
			t.Error(err)
		}
	})
}

// TestSignalsAreHeard: what a test starts can be interrupted, also when the tests run in the background of a shell.
func TestSignalsAreHeard(t *testing.T) {
	const ignoring = "CTR_TEST_IGNORING"
	if !testhost.Inside() && os.Getenv(ignoring) == "" && os.Geteuid() == 0 && !testing.Short() {
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		again := exec.Command("sh", "-c", `trap "" INT QUIT; exec "$0" -test.run='^TestSignalsAreHeard$'`, exe)
		again.Env = append(os.Environ(), ignoring+"=yes")
		if out, err := again.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		status := run(t, "cat", "/proc/self/status")
		_, text, _ := strings.Cut(status, "SigIgn:")
		ignored, err := strconv.ParseUint(strings.Fields(text)[0], 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT} {
			if ignored&(1<<(s-1)) != 0 {
				t.Errorf("%v is ignored", s)
			}
		}
	})
}

func TestHostHasFilesOfItsOwn(t *testing.T) {
	t.Parallel()
	before, err := os.ReadFile("/etc/hostname")
	if err != nil {
		t.Fatal(err)
	}
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		if err := os.WriteFile("/etc/hostname", []byte("changed\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		conf, err := os.ReadFile("/etc/resolv.conf")
		if err != nil || string(conf) != "nameserver "+testhost.ResolverAddress+"\n" {
			t.Errorf("resolv.conf holds %q, %v", conf, err)
		}
		// An overlay on the data root: what containers will need.
		for _, dir := range []string{"lower", "upper", "work", "merged"} {
			if err := os.MkdirAll(filepath.Join(h.Root, dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		run(t, "mount", "-t", "overlay", "overlay", "-o",
			"lowerdir="+h.Root+"/lower,upperdir="+h.Root+"/upper,workdir="+h.Root+"/work", h.Root+"/merged")
	})
	if testhost.Inside() {
		return
	}
	after, err := os.ReadFile("/etc/hostname")
	if err != nil || string(after) != string(before) {
		t.Errorf("the machine's /etc/hostname changed from %q to %q, %v", before, after, err)
	}
}

func TestCensusSeesWhatIsLeftBehind(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		before, err := h.Census()
		if err != nil {
			t.Fatal(err)
		}
		run(t, "ip", "link", "add", "left0", "type", "bridge")
		run(t, "ip", "netns", "add", "leftns")
		run(t, "nft", "add", "table", "ip", "lefttable")
		run(t, "mkdir", "-p", h.RunRoot+"/containers/left")
		run(t, "mount", "-t", "tmpfs", "tmpfs", "/mnt")
		leaveProcess(t)
		after, err := h.Census()
		if err != nil {
			t.Fatal(err)
		}
		diff := after.Diff(before)
		for _, want := range []string{
			`+ link bridge left0 ""`, "+ netns leftns", "+ rule table ip lefttable", "+ state /run/ctr/containers/left",
			"+ mount /mnt tmpfs", "+ process cat -",
		} {
			if !strings.Contains(diff, want+"\n") {
				t.Errorf("the census lacks %q:\n%s", want, diff)
			}
		}
		if strings.Contains(diff, "\n- ") {
			t.Errorf("the census misses something:\n%s", diff)
		}
		if same := after.Diff(after); same != "" {
			t.Errorf("a census differs from itself:\n%s", same)
		}
	})
}

// leaveProcess leaves "cat -" behind. That has started is not enough to be counted by its name: it is seen under ours, or under
// none, until its exec(2) is through, which its answer proves.
func leaveProcess(t *testing.T) {
	t.Helper()
	cat := exec.Command("cat", "-")
	in, err := cat.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close() }) // its end
	out, err := cat.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cat.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte{'x'}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

// Links that go while they are counted, as those of a namespace that ends do, keep nobody from counting.
func TestCensusWhileLinksGo(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		for i := range 60 { // more than one message of a dump has room for
			run(t, "ip", "link", "add", "stay"+strconv.Itoa(i), "type", "bridge")
		}
		churn := exec.Command("sh", "-c", "while ip link add gone type veth peer name gone2 && ip link del gone; do :; done")
		if err := churn.Start(); err != nil {
			t.Fatal(err)
		}
		defer churn.Wait()
		defer churn.Process.Kill()
		for range 100 {
			if _, err := h.Census(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestOutsideIsReached(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		o, err := h.Outside("wan", netip.MustParsePrefix("198.51.100.0/24"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := net.Dial("tcp", netip.AddrPortFrom(o.Addr, 9).String()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("the host does not reach the neighbour: %v", err)
		}
		out, err := o.Command("bash", "-c", "exec 3<>/dev/tcp/"+testhost.ResolverAddress+"/9").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "Connection refused") {
			t.Errorf("the neighbour does not reach the host: %v\n%s", err, out)
		}
	})
}

func TestSubtestsRunInHostsOfTheirOwn(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"one", "two (2)"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
				run(t, "ip", "link", "add", "same0", "type", "bridge")
			})
		})
	}
}
