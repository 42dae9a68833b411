package main_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ctr/internal/durable"
)

// erringAt are the system calls that the tests have fail, with the errors that they try: those of a full disk, of a process or a
// machine that has no more descriptors, of one without memory, of a broken disk.
var erringAt = []struct {
	call   string
	errors []string
	often  int // how many points the short version leaves out between two; 0: it leaves the call out
}{
	{"openat", []string{"EMFILE", "ENOSPC", "EIO"}, 23},
	{"write", []string{"ENOSPC", "EIO"}, 17},
	{"mkdirat", []string{"ENOSPC", "EIO"}, 7},
	{"renameat", []string{"ENOSPC", "EIO"}, 5},
	{"symlinkat", []string{"ENOSPC"}, 5},
	{"socket", []string{"EMFILE", "ENOMEM"}, 5},
	{"sendto", []string{"ENOMEM"}, 7},
	{"mount", []string{"ENOMEM"}, 9},
	{"clone", []string{"EAGAIN", "ENOMEM"}, 0},
	{"unshare", []string{"ENOSPC"}, 2},
	{"bind", []string{"ENOMEM"}, 0},
	{"fsync", []string{"EIO"}, 0},
	{"flock", []string{"EINTR"}, 3},
	{"setns", []string{"EMFILE"}, 0},
	{"mknodat", []string{"ENOSPC"}, 1},
}

// Wherever a system call of run, or of what it starts, fails, run says so or gets over it; then the next commands work, and
// nothing is left.
func TestB6FailedCall(t *testing.T) {
	t.Parallel()
	for _, at := range erringAt {
		if at.often == 0 && !allFaults() {
			continue
		}
		t.Run(at.call, func(t *testing.T) {
			faults(t, func(v *victims) {
				for _, errno := range at.errors {
					v.failedCall(at.call, errno, at.often)
				}
			})
		})
	}
}

// unsaid is a failure of the very write that tells what has failed.
var unsaid = regexp.MustCompile(`write\(2, .*INJECTED`)

// failedCall has the n-th call of each thread fail, for growing n, until run is through before that.
func (v *victims) failedCall(call, errno string, leave int) {
	v.Helper()
	step := 1
	if !allFaults() {
		step += leave
	}
	for n := 1; n < 400; n += step {
		trace := filepath.Join(v.h.Dir, "trace")
		inject := tracer(call, "error="+errno, n)
		for i, arg := range inject {
			if arg == "/dev/null" {
				inject[i] = trace
			}
		}
		o := v.end(v.wrapped(append([]string{"timeout", "-s", "KILL", "60"}, inject...), runArgs("c1")...))
		text, err := os.ReadFile(trace)
		if err != nil {
			v.Fatal(err)
		}
		what := fmt.Sprintf("%s, the %d. time: %s", call, n, errno)
		v.at = "after " + what
		switch {
		case o.took >= time.Minute:
			v.Fatalf("%s: run hangs", what)
		case o.code != 0 && strings.TrimSpace(o.stderr) == "" && !unsaid.Match(text):
			v.Errorf("%s: exit code %d, and not a word", what, o.code)
		case strings.Contains(o.stderr, "netpollBreak"): // of Go's runtime, to its own eventfd, which no disk can make fail
		case strings.Contains(o.stderr, "panic:") || strings.Contains(o.stderr, "goroutine "):
			v.Errorf("%s: %s", what, o.stderr)
		}
		v.heal("c1")
		if v.Failed() {
			v.Fatalf("at %s", what)
		}
		if !bytes.Contains(text, []byte("INJECTED")) {
			return
		}
	}
	v.Fatalf("%s %s: never got through", call, errno)
}

// On a disk without room, or without inodes, commands say so and leave nothing half made; a container that runs there goes
// on, and what it prints is the only thing lost.
func TestB5FullDisk(t *testing.T) {
	t.Parallel()
	for name, full := range map[string]struct{ options, fill string }{
		"blocks": {"size=64m", `head -c 100M /dev/zero >"$1/filler"`},
		"inodes": {"size=64m,nr_inodes=3k", fillInodes},
	} {
		t.Run(name, func(t *testing.T) {
			faults(t, func(v *victims) { v.fullDisk(full.options, full.fill) })
		})
	}
}

func (v *victims) fullDisk(options, fill string) {
	v.Helper()
	defer v.smallRoot(options)()
	v.note()
	v.must("run", "-d", "--name", "talker", "--network", "net", "busybox", "sh", "-c", "while :; do echo line; sleep 0.02; done")
	v.must("run", "-d", "--name", "old", "--network", "net", "busybox", "sleep", "1000")
	v.must("stop", "-t", "0", "old")
	before := v.must("ps", "-aq")
	_ = exec.Command("sh", "-c", fill, "sh", v.h.Root).Run() // it ends with the error that is wanted
	for _, args := range [][]string{
		runArgs("c1"), {"create", "--name", "c2", "busybox", "true"}, {"network", "create", "more"}, {"volume", "create", "some"},
	} {
		if o := v.try(args...); o.code == 0 || !strings.Contains(o.stderr, "no space left on device") {
			v.Errorf("%s on a full disk: exit code %d: %s", args, o.code, o.stderr)
		}
	}
	if o := v.try("exec", "talker", "sh", "-c", "exit 7"); o.code != 7 {
		v.Errorf("exec on a full disk: %+v", o)
	}
	if o := v.try("logs", "--tail", "1", "talker"); o.code != 0 {
		v.Errorf("logs on a full disk: %+v", o)
	}
	if after := v.must("ps", "-aq"); after != before {
		v.Errorf("containers before: %q, after: %q", before, after)
	}
	v.shell(`rm -rf "$1/filler"`, v.h.Root)
	lines := func() int { return strings.Count(v.must("logs", "talker"), "line\n") }
	count := lines()
	v.await("the log to go on", func() bool { return lines() > count })
	for _, file := range must(filepath.Glob(filepath.Join(v.h.Root, "containers/*/*.json"))) {
		if strings.HasSuffix(file, "-json.log") {
			continue
		}
		var record any
		if err := durable.ReadJSON(file, &record); err != nil {
			v.Errorf("half made: %v", err)
		}
	}
	v.must("start", "old")
	v.must(runArgs("c1")...)
	v.must("rm", "-f", "c1", "old", "talker")
	v.healed()
}

// must returns a value that there is no reason not to get.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// When somebody removes all rules of the host, connections that are there live on and nothing gets wider; check says so, and
// the next command that starts a container brings all back, in one transaction.
func TestB11FlushedRules(t *testing.T) {
	faults(t, func(v *victims) {
		v.must("run", "-d", "--name", "c1", "-p", "127.0.0.1:8080:80", "--network", "net", "busybox", "sh", "-c", "nc -l -p 80 -e cat; sleep 1000")
		rules := func() string {
			out, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
			if err != nil {
				v.Fatalf("%v: %s", err, out)
			}
			return string(out)
		}
		before := strings.Count(rules(), "\n")
		var talk *exec.Cmd
		v.await("the container to listen", func() bool {
			return v.try("exec", "c1", "sh", "-c", "netstat -ltn | grep -q :80").code == 0
		})
		talk = exec.Command("bash", "-c", `exec 3<>/dev/tcp/127.0.0.1/8080; while read word; do echo "$word" >&3; read -t 10 answer <&3; echo "got $answer"; done`)
		stdin := must(talk.StdinPipe())
		stdout := must(talk.StdoutPipe())
		if err := talk.Start(); err != nil {
			v.Fatal(err)
		}
		say := func(word string) {
			v.Helper()
			if _, err := stdin.Write([]byte(word + "\n")); err != nil {
				v.Fatal(err)
			}
			answer := make([]byte, 100)
			n, err := stdout.Read(answer)
			if got := strings.TrimSpace(string(answer[:n])); err != nil || got != "got "+word {
				v.Errorf("said %q, %s, %v", word, got, err)
			}
		}
		say("one")
		if out, err := exec.Command("nft", "flush", "ruleset").CombinedOutput(); err != nil {
			v.Fatalf("%v: %s", err, out)
		}
		say("two")
		if o := v.try("network", "check"); o.code == 0 || !strings.Contains(o.stdout, "is missing") {
			v.Errorf("check: %+v", o)
		}
		begin := time.Now()
		v.must("run", "--rm", "--network", "net", "busybox", "true")
		if got := strings.Count(rules(), "\n"); got < before-2 || got > before+2 {
			v.Errorf("%d lines of rules before, %d after %v:\n%s", before, got, time.Since(begin), rules())
		}
		say("three")
		if o := v.try("network", "check"); o.code != 0 || o.stdout != "" {
			v.Errorf("check: %+v", o)
		}
		v.must("rm", "-f", "c1")
		stdin.Close()
		_ = talk.Process.Kill() // it may have ended by itself
		_ = talk.Wait()
		v.healed()
	})
}
