package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

const flowTime = 3 // seconds of iperf3

// throughputRow sends through what the kernel was told, and through the proxy.
var throughputRow = row{
	name: "throughput", unit: "Gbit/s", more: true, rounds: 5,
	title: "one TCP stream of iperf3, against a bare veth pair on a bridge with the same MTU",
	prepare: func(b *bench) ([]contestant, error) {
		if err := makeBare(); err != nil {
			return nil, err
		}
		if _, err := command(b.env, b.ctr, "run", "-d", "--name", "flow-from", "--network", network, "busybox", "sleep", "10000"); err != nil {
			return nil, err
		}
		if _, err := command(b.env, b.ctr, "run", "-d", "--name", "flow-to", "--network", network, "-p", "5201:5201", "busybox", "sleep", "10000"); err != nil {
			return nil, err
		}
		address, err := command(b.env, b.ctr, "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "flow-to")
		if err != nil {
			return nil, err
		}
		return []contestant{
			{name: "bare pair", measure: func() (float64, error) { return flow("bench-b", "bench-a", "10.204.0.2") }},
			{name: "container to container", target: 0.95, measure: func() (float64, error) { return flow("flow-to", "flow-from", address) }},
			{name: "outside to published port", target: 0.95, measure: func() (float64, error) { return flow("flow-to", "bench-a", "10.204.0.1") }},
			{name: "host to published port on 127.0.0.1", measure: func() (float64, error) { return flow("flow-to", "", "127.0.0.1") }},
		}, nil
	},
	clean: func(b *bench) error {
		_, err := command(b.env, b.ctr, "rm", "-f", "flow-from", "flow-to")
		return errors.Join(err, ip("link delete bench-br", "netns delete bench-a", "netns delete bench-b"))
	},
}

// makeBare makes a bridge with two namespaces, bench-a and bench-b. The host has an address on it, and so the one outside of
// ctr's networks can reach published ports.
func makeBare() error {
	commands := []string{"link add bench-br type bridge", "link set bench-br up", "address add 10.204.0.1/24 dev bench-br"}
	for i, name := range []string{"bench-a", "bench-b"} {
		commands = append(commands, "netns add "+name, "link add veth-"+name+" type veth peer name eth0 netns "+name,
			"link set veth-"+name+" master bench-br up", "-n "+name+" link set lo up", "-n "+name+" link set eth0 up",
			fmt.Sprintf("-n %s address add 10.204.0.%d/24 dev eth0", name, 3-i))
	}
	return ip(commands...)
}

func ip(commands ...string) error {
	for _, c := range commands {
		if _, err := command(nil, "ip", strings.Fields(c)...); err != nil {
			return err
		}
	}
	return nil
}

// flow sends from one namespace, empty for the host's, to a server in another.
func flow(to, from, address string) (float64, error) {
	stop, err := start("ip", "netns", "exec", to, "iperf3", "--server", "--one-off", "--logfile", os.DevNull)
	if err != nil {
		return 0, err
	}
	defer stop()
	argv := []string{"iperf3", "--client", address, "--time", strconv.Itoa(flowTime), "--json"}
	if from != "" {
		argv = append([]string{"ip", "netns", "exec", from}, argv...)
	}
	var rate float64
	for range 100 { // until the server listens
		if rate, err = send(argv); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return rate, err
}

// send runs iperf3 as a client, and returns the rate at which the server received. Asked for JSON, it tells failures in it.
func send(argv []string) (float64, error) {
	out, err := command(nil, argv[0], argv[1:]...)
	if err != nil {
		return 0, err
	}
	var report struct {
		Error string `json:"error"`
		End   struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		return 0, fmt.Errorf("iperf3: %w", err)
	}
	if report.Error != "" {
		return 0, fmt.Errorf("iperf3: %s", report.Error)
	}
	return report.End.Received.Rate / 1e9, nil
}
