package network_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ctr/internal/proc"
	"ctr/internal/testhost"
	"ctr/network"
)

// envVictim tells the test binary that it is the monitor which TestKilledMonitor kills.
const envVictim = "CTR_TEST_VICTIM"

// Wherever a monitor is killed while it sets a sandbox up, the record is enough to remove what it made.
func TestKilledMonitor(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		n := open(t, h.Root, h.RunRoot)
		s := container(t, h.RunRoot, "victim", "mynet")
		s.Ports = []network.Port{{Protocol: network.TCP, HostPort: 8080, ContainerPort: 80}}
		if os.Getenv(envVictim) != "" {
			beVictim(t, n, s)
			return
		}
		create(t, n, network.Spec{Name: "mynet"})
		down(t, n, setup(t, n, s)) // makes what is made once
		if err := os.RemoveAll(filepath.Join(h.RunRoot, "containers")); err != nil {
			t.Fatal(err)
		}
		settled(t, func() string { out, _ := run(nil, "ip", "-o", "link", "show", "type", "veth"); return out })
		before := census(t, h)
		// Until it gets through, however long that takes on a busy machine.
		after := time.Duration(0)
		for step, unharmed := 0, 0; unharmed < 3; step++ {
			if killVictim(t, after) {
				unharmed++
			}
			after += max(after/20, 200*time.Microsecond)
			if err := n.Teardown(s.Record); err != nil {
				t.Errorf("step %d: tear down: %v", step, err)
			}
			if err := os.RemoveAll(filepath.Join(h.RunRoot, "containers")); err != nil {
				t.Fatal(err)
			}
			settled(t, func() string { return census(t, h).Diff(before) })
			if t.Failed() {
				t.Fatalf("at step %d", step)
			}
		}
	})
}

// beVictim sets a sandbox up, says when it begins and when it is done, and waits to be killed.
func beVictim(t *testing.T, n *network.Networks, s network.SandboxSpec) {
	fmt.Fprintln(os.Stderr, "begin")
	made, err := n.Setup(context.Background(), s, proc.Self(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Announce(proc.Self()); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(os.Stderr, "done")
	select {}
}

// killVictim starts a victim and kills it some time after it has begun. It tells whether the victim had got through.
func killVictim(t *testing.T, after time.Duration) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), envVictim+"=1")
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	words := make(chan string, 10)
	go func() {
		defer close(words)
		b := make([]byte, 100)
		for {
			k, err := said.Read(b)
			if err != nil {
				return
			}
			words <- string(b[:k])
		}
	}()
	if word := <-words; !strings.Contains(word, "begin") {
		t.Errorf("the victim said %q", word)
	}
	time.Sleep(after)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var rest string
	for word := range words {
		rest += word
	}
	_ = cmd.Wait() // it was killed
	return strings.Contains(rest, "done")
}
