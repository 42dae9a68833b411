package network_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ctr/internal/proc"
	"ctr/network"
	"ctr/network/netns"
)

// BenchmarkSetup sets one sandbox up, announces it and takes it down, on a network that holds the leases of others.
func BenchmarkSetup(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root, to make network namespaces")
	}
	for _, others := range []int{0, 500} {
		b.Run(fmt.Sprintf("%dLeases", others), func(b *testing.B) { benchmarkSetup(b, others) })
	}
}

func benchmarkSetup(b *testing.B, others int) {
	host, err := netns.New()
	if err != nil {
		b.Fatal(err)
	}
	defer host.Close()
	root, err := os.MkdirTemp("/dev/shm", "ctr-bench-") // as /run is, as a rule: no disk is measured
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(root)
	n, err := network.Open(network.Config{
		Data: filepath.Join(root, "networks"), Run: filepath.Join(root, "run"), Names: filepath.Join(root, "names"),
		Tag: "0badcafe", NetnsDir: filepath.Join(root, "netns"), Host: host,
	})
	if err != nil {
		b.Fatal(err)
	}
	mynet, err := n.Create(context.Background(), network.Spec{Name: "mynet", IPv4: true})
	if err != nil {
		b.Fatal(err)
	}
	fill(b, filepath.Join(root, "run", mynet.ID, "leases"), others)
	s := container(b, root, "bench", mynet.ID)
	self := proc.Self()
	for b.Loop() {
		made, err := n.Setup(context.Background(), s, self, nil, nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := made.Announce(self); err != nil {
			b.Fatal(err)
		}
		if err := n.Teardown(s.Record); err != nil {
			b.Fatal(err)
		}
		if err := made.Close(); err != nil {
			b.Fatal(err)
		}
		// While the kernel takes a namespace down, everybody else waits for its locks: that is not what is measured.
		b.StopTimer()
		gone(b, host, made.Record.Endpoints[0].HostSide)
		b.StartTimer()
	}
}

// gone waits until the host has no such link.
func gone(b *testing.B, host *netns.Handle, link string) {
	for {
		var links []byte
		err := host.Do(func() (err error) {
			links, err = os.ReadFile("/proc/thread-self/net/dev")
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		if !bytes.Contains(links, []byte(link)) {
			time.Sleep(50 * time.Millisecond) // for the rest, which cannot be seen
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// fill makes leases that live as long as the test.
func fill(b *testing.B, dir string, count int) {
	for i := range count {
		err := os.Symlink(fmt.Sprintf("%064x other %s /nowhere", i, proc.Self()),
			filepath.Join(dir, fmt.Sprintf("172.18.%d.%d", (i+2)/256, (i+2)%256)))
		if err != nil {
			b.Fatal(err)
		}
	}
}
