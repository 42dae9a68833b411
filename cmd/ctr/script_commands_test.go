package main_test

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ctr/internal/testhost"
)

// patience is how long a script waits for what must come: far longer than it takes, on a busy machine. One that imitates its
// processor says how much longer (CTR_TEST_PATIENCE).
var patience = func() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("CTR_TEST_PATIENCE")); err == nil {
		return d
	}
	return 30 * time.Second
}()

var commands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"ask":         cmdAsk,
	"beside":      cmdBeside,
	"census":      cmdCensus,
	"dnsupstream": cmdDNSUpstream,
	"exits":       cmdExits,
	"images":      cmdImages,
	"killmonitor": cmdKillMonitor,
	"outside":     cmdOutside,
	"pty":         cmdPty,
	"serve":       cmdServe,
	"spoof":       cmdSpoof,
	"waitfor":     cmdWaitfor,
}

// saved holds what "census save" noted, by host.
var saved = map[*testhost.Host]testhost.Census{}

func cmdCensus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: census save|check")
	}
	h := host(ts)
	switch args[0] {
	case "save":
		saved[h] = calm(ts, h)
	case "check":
		if saved[h] == nil {
			ts.Fatalf("census check without census save")
		}
		if diff := settled(h, saved[h]); diff != "" {
			ts.Fatalf("the host changed:\n%s", diff)
		}
	default:
		ts.Fatalf("usage: census save|check")
	}
}

// calm returns a census that has not changed for a while: what the commands before it ended is gone by then.
func calm(ts *testscript.TestScript, h *testhost.Host) testhost.Census {
	census, err := h.Census()
	ts.Check(err)
	for deadline := time.Now().Add(patience); ; {
		time.Sleep(200 * time.Millisecond)
		now, err := h.Census()
		ts.Check(err)
		if now.Diff(census) == "" {
			return now
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the host does not come to rest:\n%s", now.Diff(census))
		}
		census = now
	}
}

// settled returns how the host differs from the census. It waits a while for there to be no difference: the kernel takes a
// namespace and its links down some milliseconds after the last process in it has ended.
func settled(h *testhost.Host, want testhost.Census) string {
	deadline := time.Now().Add(patience)
	for {
		now, err := h.Census()
		if err != nil {
			return err.Error()
		}
		diff := now.Diff(want)
		if diff == "" || time.Now().After(deadline) {
			return diff
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// cmdExits runs a command whose exit code must be the one given: exec tells only whether it is 0.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	exit, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case ended:
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func cmdImages(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: images NAME...")
	}
	for _, name := range args {
		if _, err := os.Stat("../../hack/images/" + name); err != nil {
			ts.Fatalf("no test image %q", name)
		}
	}
	ts.Check(useImages(host(ts), "large"))
}

// cmdKillMonitor kills the monitors of containers and returns when they are gone. With -small it waits first until they have
// become the small keeper.
func cmdKillMonitor(ts *testscript.TestScript, neg bool, args []string) {
	small := len(args) > 0 && args[0] == "-small"
	if small {
		args = args[1:]
	}
	if neg || len(args) == 0 {
		ts.Fatalf("usage: killmonitor [-small] CONTAINER...")
	}
	for _, name := range args {
		out, err := exec.Command(os.Getenv("CTR_BIN"), "inspect", "--type", "container", "-f", "{{.Id}}", name).Output()
		ts.Check(err)
		id, err := monitorOf(strings.TrimSpace(string(out)))
		ts.Check(err)
		ts.Check(killMonitor(id, small))
	}
}

func cmdOutside(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: outside NAME PREFIX")
	}
	prefix, err := netip.ParsePrefix(args[1])
	ts.Check(err)
	o, err := host(ts).Outside(args[0], prefix)
	ts.Check(err)
	ts.Defer(func() { ts.Check(o.Close()) })
	ts.Setenv(o.Name, o.Path)
}

func cmdWaitfor(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: [!] waitfor COMMAND...")
	}
	deadline := time.Now().Add(patience)
	for {
		err := ts.Exec(args[0], args[1:]...)
		if (err == nil) != neg {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%q: still %v after %v", args, err, patience)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
