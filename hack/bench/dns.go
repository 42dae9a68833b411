package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"ctr/network/dns"
	"ctr/network/firewall"
	"ctr/network/netns"
)

// askSeconds is how long dnsperf asks.
const askSeconds = 2

// dnsRow asks the resolver of a container as fast as it goes.
var dnsRow = row{
	name: "dns", unit: "queries/s", more: true, rounds: 5,
	title: "a name of a container, asked by dnsperf with 4 clients in another one, against a server in Go that sends each datagram back, behind the same rules",
	prepare: func(b *bench) ([]contestant, error) {
		return prepareDNS(b, dnsRate, map[string]float64{"echo": 0.7, "docker": 2, "aardvark-dns": 1.1})
	},
	clean: cleanDNS,
}

// dnsLatencyRow is about the same load: how long the slowest answers take. The echo has no target: it looks nothing up.
var dnsLatencyRow = row{
	name: "dns-p99", unit: "ms", rounds: 5,
	title: "the same load: within how many milliseconds 99 % of the answers come",
	prepare: func(b *bench) ([]contestant, error) {
		return prepareDNS(b, dnsLatency, map[string]float64{"docker": 1, "aardvark-dns": 1})
	},
	clean: cleanDNS,
}

// asker is a namespace, from which a server is asked.
type asker struct {
	dnsperf   []string
	questions string // the file with what is asked
}

// dnsServers are the servers that are compared, by name.
func prepareDNS(b *bench, ask func(a asker) (float64, error), targets map[string]float64) ([]contestant, error) {
	questions := filepath.Join(b.dir, "questions")
	if err := os.WriteFile(questions, []byte("asked A\n"), 0o600); err != nil {
		return nil, err
	}
	in := func(server string, enter ...string) asker {
		argv := append(enter, "dnsperf", "-s", server, "-d", questions, "-l", strconv.Itoa(askSeconds), "-c", "4", "-T", "1")
		return asker{argv, questions}
	}
	if err := makeEcho("bench-echo"); err != nil {
		return nil, err
	}
	if err := runAsked(b.env, b.ctr, "busybox"); err != nil {
		return nil, err
	}
	own := 0.0
	of := func(a asker) func() (float64, error) { return func() (float64, error) { return ask(a) } }
	all := []contestant{
		{name: "echo", measure: of(in("127.0.0.11", "ip", "netns", "exec", "bench-echo"))},
		{name: "ctr", target: targets["echo"], measure: func() (v float64, err error) {
			own, err = ask(in("127.0.0.11", "ip", "netns", "exec", "asking"))
			return own, err
		}},
	}
	peer := func(name string, a asker) {
		all = append(all, contestant{name: name, measure: of(a)},
			contestant{name: "ctr, to " + name, base: name, target: targets[name], measure: func() (float64, error) { return own, nil }})
	}
	for _, p := range b.peers {
		if p.name != "docker" {
			continue
		}
		if err := runAsked(p.env, p.name, image); err != nil {
			return nil, err
		}
		pid, err := command(p.env, p.name, "inspect", "--format", "{{.State.Pid}}", "asking")
		if err != nil {
			return nil, err
		}
		peer(p.name, in("127.0.0.11", "nsenter", "--target", pid, "--net"))
	}
	switch program := findAardvark(); program {
	case "":
		b.notes = append(b.notes, "aardvark-dns is not installed")
	default:
		if err := startAardvark(b, program); err != nil {
			return nil, err
		}
		peer("aardvark-dns", in(aardvarkAddress, "ip", "netns", "exec", "bench-aardvark"))
	}
	return all, nil
}

// runAsked starts the container that is asked for and the one that asks.
func runAsked(env []string, engine, image string) error {
	for _, name := range []string{"asked", "asking"} {
		if _, err := command(env, engine, "run", "-d", "--name", name, "--network", network, image, "sleep", "10000"); err != nil {
			return err
		}
	}
	return nil
}

func cleanDNS(b *bench) error {
	_, err := command(b.env, b.ctr, "rm", "-f", "asked", "asking")
	errs := []error{err}
	for _, p := range b.peers {
		if p.name == "docker" {
			_, err := command(p.env, p.name, "rm", "-f", "asked", "asking")
			errs = append(errs, err)
		}
	}
	if b.aardvark != 0 {
		errs = append(errs, syscall.Kill(b.aardvark, syscall.SIGTERM), ip("netns delete bench-aardvark", "link delete bench-aardvark"))
		b.aardvark = 0
	}
	return errors.Join(append(errs, ip("netns delete bench-echo"))...)
}

var queriesLine = regexp.MustCompile(`Queries per second:\s+([\d.]+)`)

// dnsRate returns how many questions a second are answered.
func dnsRate(a asker) (float64, error) {
	out, err := command(nil, a.dnsperf[0], a.dnsperf[1:]...)
	if err != nil {
		return 0, err
	}
	m := queriesLine.FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("dnsperf said no rate:\n%s", out)
	}
	return strconv.ParseFloat(m[1], 64)
}

// dnsLatency returns within how many milliseconds 99 % of the answers come. One that never comes counts as the longest. What
// dnsperf says is read afterwards: a reader beside it would take from the two.
func dnsLatency(a asker) (float64, error) {
	log, err := os.CreateTemp(filepath.Dir(a.questions), "latencies-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(log.Name())
	defer log.Close()
	cmd := exec.Command(a.dnsperf[0], append(slices.Clone(a.dnsperf[1:]), "-v")...)
	cmd.Stdout = log
	err = cmd.Run()
	if err == nil {
		_, err = log.Seek(0, io.SeekStart)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", cmd, err)
	}
	times, err := readLatencies(log)
	if err != nil {
		return 0, err
	}
	if len(times) < 100 {
		return 0, fmt.Errorf("%s: %d answers", cmd, len(times))
	}
	slices.Sort(times)
	return times[len(times)*99/100] * 1000, nil
}

// readLatencies reads the lines "> NOERROR asked A 0.000123" of "dnsperf -v", and "> T asked A" for a question without an answer.
func readLatencies(r io.Reader) ([]float64, error) {
	var times []float64
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[0] != ">" {
			continue
		}
		seconds := float64(askSeconds)
		if fields[1] != "T" {
			var err error
			if seconds, err = strconv.ParseFloat(fields[len(fields)-1], 64); err != nil || fields[1] != "NOERROR" {
				return nil, fmt.Errorf("dnsperf said %q", lines.Text())
			}
		}
		times = append(times, seconds)
	}
	return times, lines.Err()
}

// makeEcho makes a namespace in which 127.0.0.11:53 leads, by the rules of a container, to a server that sends each datagram
// back as a reply. It runs until its socket ends with this process.
func makeEcho(name string) error {
	if err := ip("netns add "+name, "-n "+name+" link set lo up"); err != nil {
		return err
	}
	ns, err := netns.Open(filepath.Join("/run/netns", name))
	if err != nil {
		return err
	}
	defer ns.Close()
	udp, tcp, err := dns.Listen(ns)
	if err != nil {
		return err
	}
	port := func(a net.Addr) uint16 {
		_, text, _ := net.SplitHostPort(a.String())
		n, _ := strconv.ParseUint(text, 10, 16)
		return uint16(n)
	}
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := udp.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if n > 2 {
				buf[2] |= 0x80 // it is a reply
			}
			_, _ = udp.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	return firewall.RedirectDNS(ns, port(udp.LocalAddr()), port(tcp.Addr()))
}

// aardvarkAddress is where aardvark-dns listens, as podman has it do: at the gateway of the network.
const aardvarkAddress = "10.205.0.1"

// findAardvark returns the path of the program where the distributions have it, empty if they have not.
func findAardvark() string {
	for _, dir := range []string{"/usr/lib/podman", "/usr/libexec/podman"} {
		path := filepath.Join(dir, "aardvark-dns")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// startAardvark starts aardvark-dns with a network as netavark makes it: a bridge with its gateway, a container behind a veth
// pair, and a file that tells its names.
func startAardvark(b *bench, program string) error {
	const name = "bench-aardvark"
	err := ip("link add "+name+" type bridge", "link set "+name+" up", "address add "+aardvarkAddress+"/24 dev "+name,
		"netns add "+name, "link add veth-aardvark type veth peer name eth0 netns "+name, "link set veth-aardvark master "+name+" up",
		"-n "+name+" link set lo up", "-n "+name+" link set eth0 up", "-n "+name+" address add 10.205.0.2/24 dev eth0")
	if err != nil {
		return err
	}
	config := filepath.Join(b.dir, "aardvark")
	if err := os.MkdirAll(config, 0o700); err != nil {
		return err
	}
	text := aardvarkAddress + "\n" + strings.Repeat("a", 64) + " 10.205.0.3  asked,aaaaaaaaaaaa\n" +
		strings.Repeat("b", 64) + " 10.205.0.2  asking,bbbbbbbbbbbb\n"
	if err := os.WriteFile(filepath.Join(config, "bench"), []byte(text), 0o600); err != nil {
		return err
	}
	// It answers when the command ends, which leaves the server behind.
	if err := exec.Command(program, "--config", config, "--port", "53", "run").Run(); err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	pid, err := os.ReadFile(filepath.Join(config, "aardvark.pid"))
	if err != nil {
		return err
	}
	b.aardvark, err = strconv.Atoi(strings.TrimSpace(string(pid)))
	return err
}
