package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"ctr/network/netns"
)

const flowTime = 2 // seconds of iperf3

// throughputRow sends large segments, packetsRow small datagrams: the one tells what a byte costs, the other what a packet does.
var (
	throughputRow = row{
		name: "throughput", unit: "Gbit/s", more: true, rounds: 5,
		title:   "one TCP stream of iperf3, against a bare veth pair on a bridge of the same host with the same MTU",
		prepare: func(b *bench) ([]contestant, error) { return prepareTraffic(b, tcpFlow, 0.95) },
		clean:   cleanTraffic,
	}
	packetsRow = row{
		name: "packets", unit: "packets/s", more: true, rounds: 5,
		title:   "UDP datagrams of 64 bytes that arrive, sent by iperf3 as fast as it goes, against the same bare pair",
		prepare: func(b *bench) ([]contestant, error) { return prepareTraffic(b, udpFlow, 0.95) },
		clean:   cleanTraffic,
	}
	connectionsRow = row{
		name: "connections", unit: "connections/s", more: true, rounds: 5,
		title:   "TCP connections, one after the other, that each bring a byte, against the same bare pair",
		prepare: func(b *bench) ([]contestant, error) { return prepareTraffic(b, connections, 0) },
		clean:   cleanTraffic,
	}
)

// The host's ports that lead to flowPort of the one that traffic goes to.
const (
	flowPort     = "5201"
	dockerPort   = "5211"
	trafficTo    = "flow-to"
	trafficFrom  = "flow-from"
	outsideToIn  = "10.206.0.1"
	bareTo       = "10.204.0.2"
	inspectFlow  = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
	inspectState = "{{.State.Pid}}"
)

// place is a network namespace: the path of its file, empty for the host's.
type place string

// enter returns the command that runs another one there.
func (p place) enter(argv ...string) []string {
	if p == "" {
		return argv
	}
	return append([]string{"nsenter", "--net=" + string(p)}, argv...)
}

// open opens the namespace. The caller closes it.
func (p place) open() (*netns.Handle, error) {
	if p == "" {
		return netns.Current()
	}
	return netns.Open(string(p))
}

// way is how traffic goes: from a place to a port of an address, which leads to the other place.
type way struct {
	from, to      place
	address, port string
}

// prepareTraffic makes the ways. Those of ctr have the target: its part of what the bare pair does.
func prepareTraffic(b *bench, measure func(way) (float64, error), target float64) ([]contestant, error) {
	if err := makeBare(); err != nil {
		return nil, err
	}
	outside, bareFrom, bare := place("/run/netns/bench-out"), place("/run/netns/bench-a"), place("/run/netns/bench-b")
	in := func(w way) func() (float64, error) { return func() (float64, error) { return measure(w) } }
	all := []contestant{{name: "bare pair", measure: in(way{bareFrom, bare, bareTo, flowPort})}}
	add := func(name string, env []string, engine, image, port string, target float64) error {
		from, to, address, err := startTraffic(env, engine, image, port)
		if err != nil {
			return err
		}
		all = append(all,
			contestant{name: name + " container to container", target: target, measure: in(way{from, to, address, flowPort})},
			contestant{name: name + " outside to published port", target: target, measure: in(way{outside, to, outsideToIn, port})},
			contestant{name: name + " host to published port", target: target, measure: in(way{"", to, outsideToIn, port})})
		return nil
	}
	if err := add("ctr", b.env, b.ctr, "busybox", flowPort, target); err != nil {
		return nil, err
	}
	for _, p := range b.peers {
		if p.name == "docker" {
			if err := add(p.name, p.env, p.name, image, dockerPort, 0); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// startTraffic starts the two containers of an engine. The second one publishes flowPort as a port of the host.
func startTraffic(env []string, engine, image, port string) (from, to place, address string, err error) {
	run := func(name string, publish ...string) (place, error) {
		argv := append([]string{"run", "-d", "--name", name, "--network", network}, publish...)
		if _, err := command(env, engine, append(argv, image, "sleep", "10000")...); err != nil {
			return "", err
		}
		pid, err := command(env, engine, "inspect", "--format", inspectState, name)
		return place("/proc/" + pid + "/ns/net"), err
	}
	if from, err = run(trafficFrom); err != nil {
		return
	}
	if to, err = run(trafficTo, "-p", port+":"+flowPort, "-p", port+":"+flowPort+"/udp"); err != nil {
		return
	}
	address, err = command(env, engine, "inspect", "--format", inspectFlow, trafficTo)
	// The monitor becomes the small program that keeps a container.
	time.Sleep(settleTime)
	return
}

func cleanTraffic(b *bench) error {
	_, err := command(b.env, b.ctr, "rm", "-f", trafficFrom, trafficTo)
	for _, p := range b.peers {
		if p.name == "docker" {
			_, more := command(p.env, p.name, "rm", "-f", trafficFrom, trafficTo)
			err = errors.Join(err, more)
		}
	}
	// The links first: a namespace's own go some time after it, and the next row makes others of the same names.
	return errors.Join(err, ip("link delete bench-br", "link delete veth-bench-a", "link delete veth-bench-b", "link delete veth-out",
		"netns delete bench-a", "netns delete bench-b", "netns delete bench-out"))
}

// makeBare makes a bridge with two namespaces, bench-a and bench-b, and one outside, bench-out. That one has a link of its own
// to the host, as a machine on the wire has: were it at the bridge, its packets would pass the firewall's hooks of two bridges
// on their way to a container, where those of the bare pair pass one's (with br_netfilter; 0.89 of its packet rate instead of 1.0).
func makeBare() error {
	commands := []string{
		"link add bench-br type bridge", "link set bench-br up",
		"netns add bench-out", "link add veth-out type veth peer name eth0 netns bench-out",
		"link set veth-out up", "address add " + outsideToIn + "/24 dev veth-out",
		"-n bench-out link set lo up", "-n bench-out link set eth0 up", "-n bench-out address add 10.206.0.2/24 dev eth0",
	}
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

// tcpFlow returns Gbit/s that arrive, udpFlow packets/s.
func tcpFlow(w way) (float64, error) {
	r, err := flow(w)
	return r.End.Received.Rate / 1e9, err
}

func udpFlow(w way) (float64, error) {
	r, err := flow(w, "--udp", "--length", "64", "--bitrate", "0")
	if err != nil || r.End.Sum.Seconds == 0 {
		return 0, err
	}
	return (r.End.Sum.Packets - r.End.Sum.Lost) / r.End.Sum.Seconds, nil
}

// flowReport is what iperf3 says.
type flowReport struct {
	Error string `json:"error"`
	End   struct {
		Received struct {
			Rate  float64 `json:"bits_per_second"`
			Bytes float64 `json:"bytes"`
		} `json:"sum_received"`
		Sum struct { // of UDP
			Packets float64 `json:"packets"`
			Lost    float64 `json:"lost_packets"`
			Seconds float64 `json:"seconds"`
		} `json:"sum"`
	} `json:"end"`
}

// flow sends along a way.
func flow(w way, more ...string) (flowReport, error) {
	server := w.to.enter("iperf3", "--server", "--one-off", "--logfile", os.DevNull)
	stop, err := start(server[0], server[1:]...)
	if err != nil {
		return flowReport{}, err
	}
	defer stop()
	argv := append([]string{"iperf3", "--client", w.address, "--port", w.port, "--time", strconv.Itoa(flowTime), "--json"}, more...)
	var r flowReport
	for range 100 { // until the server listens
		if r, err = send(w.from.enter(argv...)); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return r, err
}

// send runs iperf3 as a client. Asked for JSON, it tells failures in it.
func send(argv []string) (r flowReport, err error) {
	out, err := command(nil, argv[0], argv[1:]...)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		return r, fmt.Errorf("iperf3: %w", err)
	}
	if r.Error != "" {
		return r, fmt.Errorf("iperf3: %s", r.Error)
	}
	return r, nil
}
