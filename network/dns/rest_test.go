package dns

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"ctr/network/names"
	"ctr/network/netns"
)

// servedZone names the variable that makes TestOnlyOneThreadWorks the server, with the zone's folder.
const servedZone = "CTR_TEST_SERVED_ZONE"

// TestOnlyOneThreadWorks: while containers are asked for, one thread answers and all others rest. A system call that is not made
// raw (see names/syscalls.go) would have a thread of Go's scheduler look on, more often than there are questions.
func TestOnlyOneThreadWorks(t *testing.T) {
	if dir := os.Getenv(servedZone); dir != "" {
		serveZone(t, dir)
		return
	}
	zone := names.Zone{Dir: filepath.Join(t.TempDir(), "names")}
	add(t, zone, "db", "10.0.0.1")
	server := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$")
	server.Env = append(os.Environ(), servedZone+"="+zone.Dir)
	server.Stderr = os.Stderr
	stdin, err1 := server.StdinPipe()
	stdout, err2 := server.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stdin.Close()
		if err := server.Wait(); err != nil {
			t.Error(err)
		}
	}()
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("udp", strings.TrimSpace(address))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const questions = 10_000
	askOften(t, c, questions) // the program's start is over
	before := rests(t, server.Process.Pid)
	askOften(t, c, questions)
	others, most := 0, 0
	for thread, n := range rests(t, server.Process.Pid) {
		n -= before[thread]
		others, most = others+n, max(most, n)
	}
	if others -= most; others > questions/50 {
		t.Errorf("for %d questions the thread that answers went to rest %d times, and all others %d times", questions, most, others)
	}
}

// serveZone answers on a socket of its own, whose address it prints, until its input ends.
func serveZone(t *testing.T, dir string) {
	ns, err := netns.Current()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	udp, tcp, err := Listen(ns)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Networks: []Network{{Name: "n", Zone: dir}}}, ns)
	served := make(chan error, 1)
	go func() { served <- s.Serve(t.Context(), udp, tcp) }()
	os.Stdout.WriteString(udp.LocalAddr().String() + "\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
	udp.Close()
	<-served
}

// askOften asks again and again, each time when the last answer has come.
func askOften(t *testing.T, c net.Conn, times int) {
	t.Helper()
	question := packed(t, ask("db", mdns.TypeA))
	buf := make([]byte, minPayload)
	c.SetDeadline(time.Now().Add(time.Minute))
	for range times {
		if _, err := c.Write(question); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(buf); err != nil || n < headerSize || buf[7] != 1 {
			t.Fatalf("answer % x, %v: want one record", buf[:n], err)
		}
	}
}

// rests tells how often each thread of a process has gone to rest.
func rests(t *testing.T, pid int) map[string]int {
	t.Helper()
	files, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/status")
	if err != nil || len(files) == 0 {
		t.Fatal("no threads", err)
	}
	all := make(map[string]int)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		_, after, _ := strings.Cut(string(text), "\nvoluntary_ctxt_switches:")
		line, _, _ := strings.Cut(after, "\n")
		if all[file], err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
			t.Fatal(err)
		}
	}
	return all
}
