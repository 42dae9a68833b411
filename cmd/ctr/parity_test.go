package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ctr/internal/testhost"
)

// TestParity runs the sessions in testdata/parity with a Docker engine, and then with ctr under the name docker, and compares
// what each command line prints on standard output (but for IDs, times and the like), whether it says something on standard
// error, and its exit code. It needs dockerd, which `make test-neighbours` gets.
//
// In a session each line is a shell command, and a line after "~ REASON" one that answers otherwise, for that reason: one that
// does not is a fault too. A line "keys COMMAND" compares the names in the JSON that is printed, where ctr may have more.
// docs/docker.md lists what is different on purpose.
func TestParity(t *testing.T) {
	t.Parallel()
	sessions, err := filepath.Glob("testdata/parity/*.txt")
	if err != nil || len(sessions) == 0 {
		t.Fatalf("no sessions: %v", err)
	}
	if !testhost.Inside() && os.Geteuid() == 0 && !testing.Short() {
		prepare(t)
	}
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		undo, err := beside("docker.io")
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := undo(); err != nil {
				t.Error(err)
			}
		}()
		if _, err := exec.LookPath("dockerd"); err != nil {
			t.Skip("Docker is not here: make test-neighbours gets it")
		}
		if err := useImages(h, "small"); err != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{"CTR_ROOT=" + h.Root, "CTR_RUN_ROOT=" + h.RunRoot, "DOCKER_HOST=unix:///run/docker.sock"} {
			name, value, _ := strings.Cut(kind, "=")
			setenv(t, name, value)
		}
		docker, ours := parityEngine(t, h, "docker"), parityEngine(t, h, "ctr")
		stop := startDocker(t, h)
		run(t, nil, "sh", "-c", os.Getenv("CTR_BIN")+" save busybox | docker load")
		theirs := map[string][]reply{}
		for _, file := range sessions {
			theirs[file] = docker.answers(t, file)
		}
		stop()
		for _, file := range sessions {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
				compareSessions(t, readSession(t, file), theirs[file], ours.answers(t, file))
			})
		}
		run(t, nil, os.Getenv("CTR_BIN"), "system", "reset", "--force")
	})
}

// startDocker starts an engine in this host, and returns what ends it.
func startDocker(t *testing.T, h *testhost.Host) (stop func()) {
	t.Helper()
	log, err := os.Create(filepath.Join(h.Dir, "dockerd.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	parent := "docker-" + filepath.Base(h.Dir) // the cgroups are the machine's, where another such test may be at work
	engine := exec.Command("dockerd", "--host", os.Getenv("DOCKER_HOST"), "--data-root", filepath.Join(h.Dir, "docker"),
		"--exec-root", "/run/docker", "--pidfile", "/run/docker.pid", "--cgroup-parent", "/"+parent)
	engine.Stdout, engine.Stderr = log, log
	if err := engine.Start(); err != nil {
		t.Fatal(err)
	}
	for range 1500 { // five minutes, on a busy machine
		if err = exec.Command("docker", "info").Run(); err == nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	if err != nil {
		text, _ := os.ReadFile(log.Name())
		t.Fatalf("dockerd does not reply: %v\n%s", err, text)
	}
	return func() {
		if err := errors.Join(engine.Process.Signal(syscall.SIGTERM), engine.Wait()); err != nil {
			t.Errorf("end dockerd: %v", err)
		}
		// Docker leaves some of its containers' there, empty.
		for _, pattern := range []string{
			"/sys/fs/cgroup/" + parent + "/*/", "/sys/fs/cgroup/*/" + parent + "/*/",
			"/sys/fs/cgroup/" + parent, "/sys/fs/cgroup/*/" + parent,
		} {
			dirs, _ := filepath.Glob(pattern)
			for _, dir := range dirs {
				if err := os.Remove(dir); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// engine is one of the two that are compared.
type engine struct{ name, bin, work string }

// reply is what a command line came to.
type reply struct {
	code        int
	out, errors string
}

// parityEngine makes a folder where the name docker is ctr, or what it is anywhere else.
func parityEngine(t *testing.T, h *testhost.Host, name string) engine {
	t.Helper()
	e := engine{name: name, bin: filepath.Join(h.Dir, name+"-bin"), work: filepath.Join(h.Dir, name+"-work")}
	if err := errors.Join(os.Mkdir(e.bin, 0o755), os.Mkdir(e.work, 0o755)); err != nil {
		t.Fatal(err)
	}
	if name == "ctr" {
		if err := os.Symlink(os.Getenv("CTR_BIN"), filepath.Join(e.bin, "docker")); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// answers runs a session, from a clean slate.
func (e engine) answers(t *testing.T, file string) []reply {
	t.Helper()
	var all []reply
	for _, l := range readSession(t, file) {
		begin := time.Now()
		all = append(all, e.run(t.Context(), l.command))
		if took := time.Since(begin); took > 5*time.Second {
			t.Logf("%s: %s took %s", e.name, l.command, took)
		}
	}
	e.run(t.Context(), `docker rm -fv $(docker ps -aq); docker network prune -f; docker volume rm $(docker volume ls -q); rm -rf ./*`)
	return all
}

func (e engine) run(ctx context.Context, command string) reply {
	ctx, cancel := context.WithTimeout(ctx, max(patience, 2*time.Minute)) // for one line of a session
	defer cancel()
	c := exec.CommandContext(ctx, "bash", "-c", command)
	c.Dir, c.Env = e.work, append(os.Environ(), "PATH="+e.bin+":"+os.Getenv("PATH"), "HOME="+e.work, "DOCKER_CLI_HINTS=false")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	_ = c.Run() // the code says how it ended
	return reply{code: c.ProcessState.ExitCode(), out: out.String(), errors: errs.String()}
}

// sessionLine is one command of a session.
type sessionLine struct {
	number  int
	command string
	keys    bool   // compare the names in the JSON alone
	differs string // why it answers otherwise; empty: it does not
}

func readSession(t *testing.T, file string) []sessionLine {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var lines []sessionLine
	var reason string
	for number, line := range strings.Split(string(text), "\n") {
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "~ "):
			reason = line[2:]
		default:
			l := sessionLine{number: number + 1, command: line, differs: reason}
			if rest, ok := strings.CutPrefix(line, "keys "); ok {
				l.command, l.keys = rest, true
			}
			lines, reason = append(lines, l), ""
		}
	}
	return lines
}

func compareSessions(t *testing.T, lines []sessionLine, theirs, ours []reply) {
	t.Helper()
	for i, l := range lines {
		diff := difference(theirs[i], ours[i])
		if l.keys {
			diff = missingKeys(theirs[i].out, ours[i].out)
		}
		switch {
		case diff != "" && l.differs == "":
			t.Errorf("line %d: %s\n%s", l.number, l.command, diff)
		case diff == "" && l.differs != "":
			t.Errorf("line %d: %s\nanswers as with Docker, although it should not: %s", l.number, l.command, l.differs)
		}
	}
}

func difference(theirs, ours reply) string {
	if theirs.code == ours.code && (theirs.errors == "") == (ours.errors == "") && alike(theirs.out) == alike(ours.out) {
		return ""
	}
	return fmt.Sprintf("docker: exit code %d\n%s%sctr: exit code %d\n%s%s",
		theirs.code, theirs.out, theirs.errors, ours.code, ours.out, ours.errors)
}

// incidental is what differs from one run to the next.
var incidental = []struct {
	re *regexp.Regexp
	by string
}{
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "<ID>"},
	{regexp.MustCompile(`\b[0-9a-f]{12}\b`), "<id>"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ][\d:.]+( \+0000 UTC|Z)?`), "<time>"},
	{regexp.MustCompile(`(Less than a second|About a minute|\d+ (second|minute)s?)`), "<duration>"},
	{regexp.MustCompile(`\b\d+\.\d\d%`), "<share>%"},
	{regexp.MustCompile(`172\.\d+\.`), "172.N."},
	{regexp.MustCompile(` +`), " "},
}

func alike(s string) string {
	for _, i := range incidental {
		s = i.re.ReplaceAllString(s, i.by)
	}
	return s
}

// missingKeys lists the names that the one JSON text has and the other has not.
func missingKeys(theirs, ours string) string {
	want, have := map[string]bool{}, map[string]bool{}
	for text, keys := range map[string]map[string]bool{theirs: want, ours: have} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			return fmt.Sprintf("%v:\n%s", err, text)
		}
		collectKeys(v, "", keys)
	}
	var missing []string
	for key := range want {
		if !have[key] {
			missing = append(missing, key)
		}
	}
	slices.Sort(missing)
	if len(missing) == 0 {
		return ""
	}
	return "missing: " + strings.Join(missing, " ")
}

func collectKeys(v any, path string, keys map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			name = alike(name)
			keys[path+"."+name] = true
			collectKeys(value, path+"."+name, keys)
		}
	case []any:
		for _, value := range v {
			collectKeys(value, path, keys)
		}
	}
}
