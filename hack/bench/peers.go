package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// peer is another engine, with which the rows compare.
type peer struct {
	name string
	env  []string
}

// findPeers prepares the engines that answer. One that is missing, or does not work here, is noted and left out.
func (b *bench) findPeers(archive string) {
	for _, p := range []peer{{name: "docker"}, {name: "podman"}} {
		if _, err := exec.LookPath(p.name); err != nil {
			b.notes = append(b.notes, p.name+" is not installed")
			continue
		}
		if err := b.preparePeer(&p, archive); err != nil {
			p.clear()
			b.notes = append(b.notes, fmt.Sprintf("%s is left out: %s", p.name, firstLine(err)))
			continue
		}
		b.peers = append(b.peers, p)
	}
}

func (b *bench) preparePeer(p *peer, archive string) error {
	switch p.name {
	case "docker":
		if err := b.reachDocker(p); err != nil {
			return err
		}
	case "podman":
		if err := b.configurePodman(p); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"import", archive, image},
		{"network", "create", network},
		{"run", "--rm", "--network", network, image, "true"},
	} {
		if _, err := command(p.env, p.name, args...); err != nil {
			return err
		}
	}
	return nil
}

// configurePodman keeps it from asking for more open files and processes than a machine may give that cannot raise limits: it
// would start nothing there.
func (b *bench) configurePodman(p *peer) error {
	path := filepath.Join(b.dir, "containers.conf")
	p.env = append(p.env, "CONTAINERS_CONF="+path)
	return os.WriteFile(path, []byte("[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n"), 0o600)
}

// reachDocker sees to it that a Docker engine answers: the machine's, or else, if there is one to start, one of our own in the
// namespaces of this process. It ends with the benchmark.
func (b *bench) reachDocker(p *peer) error {
	if _, err := command(nil, "docker", "version"); err == nil {
		return nil
	}
	if _, err := exec.LookPath("dockerd"); err != nil {
		return errors.New("no engine answers, and there is no dockerd to start")
	}
	dir := filepath.Join(b.dir, "docker")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	host := "unix://" + filepath.Join(dir, "socket")
	b.dockerd = exec.Command("dockerd", "--host", host, "--data-root", filepath.Join(dir, "data"),
		"--exec-root", filepath.Join(dir, "run"), "--pidfile", filepath.Join(dir, "pid"))
	b.dockerd.Stdout, b.dockerd.Stderr = log, log
	if err := b.dockerd.Start(); err != nil {
		return err
	}
	p.env = []string{"DOCKER_HOST=" + host}
	for range 150 {
		if _, err = command(p.env, "docker", "version"); err == nil {
			return nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	return fmt.Errorf("dockerd does not answer: %w", err)
}

// closePeers takes away what the peers were given.
func (b *bench) closePeers() {
	for _, p := range b.peers {
		p.clear()
	}
	if b.dockerd != nil && b.dockerd.Process != nil {
		_ = b.dockerd.Process.Signal(syscall.SIGTERM)
		_ = b.dockerd.Wait()
	}
}

// clear takes away what the peer was given.
func (p peer) clear() {
	_, _ = command(p.env, p.name, "rm", "-f", execName)
	_, _ = command(p.env, p.name, "network", "rm", network)
	_, _ = command(p.env, p.name, "rmi", "-f", image)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
