package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// scaleRow asks whether what others run slows us down. The full installation has as many containers on one network as the
// command line says, the empty one has one.
var scaleRow = row{
	name: "scale", unit: "ms", rounds: 15,
	title: "the same command in an installation with one container on the network, and in a full one",
	prepare: func(b *bench) ([]contestant, error) {
		full := b.fullEnv()
		if _, err := command(full, "hack/images/import", b.ctr, "busybox"); err != nil {
			return nil, err
		}
		if _, err := command(full, b.ctr, "network", "create", "--subnet", "10.203.0.0/20", network); err != nil {
			return nil, err
		}
		if _, err := command(b.env, b.ctr, "run", "-d", "--name", "c0", "--network", network, "busybox", "sleep", "10000"); err != nil {
			return nil, err
		}
		err := each(b.containers, 4, func(i int) error {
			_, err := command(full, b.ctr, "run", "-d", "--name", fmt.Sprint("c", i), "--network", network, "busybox", "sleep", "10000")
			return err
		})
		if err != nil {
			return nil, err
		}
		var all []contestant
		for _, test := range []struct {
			name  string
			argv  []string
			limit float64
		}{
			{"run", []string{"run", "--rm", "--network", network, "busybox", "true"}, 0},
			{"first DNS answer", []string{"run", "--rm", "--network", network, "busybox", "nslookup", "c0"}, 0},
			{"inspect", []string{"inspect", "c0"}, 0},
			{"ps", []string{"ps"}, 50},
		} {
			empty := test.name + ", one container"
			c := contestant{
				name: fmt.Sprintf("%s, %d containers", test.name, b.containers), base: empty, limit: test.limit,
				measure: timed(full, append([]string{b.ctr}, test.argv...)...),
			}
			if test.limit == 0 {
				c.target = 1.2
			}
			all = append(all, contestant{name: empty, base: empty, measure: timed(b.env, append([]string{b.ctr}, test.argv...)...)}, c)
		}
		return all, nil
	},
	clean: func(b *bench) error {
		_, err := command(b.fullEnv(), b.ctr, "system", "reset", "--force")
		_, err2 := command(b.env, b.ctr, "rm", "-f", "c0")
		return errors.Join(err, err2)
	},
}

// fullEnv is the environment of the full installation.
func (b *bench) fullEnv() []string {
	return []string{"CTR_ROOT=" + filepath.Join(b.dir, "full"), "CTR_RUN_ROOT=" + filepath.Join(b.runRoot, "full")}
}

// crowd is how many commands start at once.
const crowd = 100

// parallelRow starts a crowd of containers at once, each with a published port, and then removes them at once.
var parallelRow = row{
	name: "parallel", unit: "s", rounds: 3,
	title: fmt.Sprintf("%d `run -d -p 80` at once, then %d `rm -f` at once; a failure of one is a failure of the row", crowd, crowd),
	prepare: func(b *bench) ([]contestant, error) {
		all := crowdOf("ctr", b.ctr, b.env, "busybox")
		for _, p := range b.peers {
			all = append(all, crowdOf(p.name, p.name, p.env, image)...)
		}
		for i, target := range []float64{0.2, 0.2} {
			all[i].target = target
			all[i].base = strings.Replace(all[i].name, "ctr", "docker", 1)
		}
		return all, nil
	},
}

func crowdOf(name, program string, env []string, image string) []contestant {
	return []contestant{
		{name: name + " run", measure: func() (float64, error) {
			begun := time.Now()
			err := each(crowd, crowd, func(i int) error {
				_, err := command(env, program, "run", "-d", "-p", "80", "--name", fmt.Sprint("crowd", i), "--network", network, image, "sleep", "10000")
				return err
			})
			return time.Since(begun).Seconds(), err
		}},
		{name: name + " rm", measure: func() (float64, error) {
			begun := time.Now()
			err := each(crowd, crowd, func(i int) error {
				_, err := command(env, program, "rm", "-f", fmt.Sprint("crowd", i))
				return err
			})
			return time.Since(begun).Seconds(), err
		}},
	}
}

// each calls f for 0 to n-1, so many at a time, and returns all errors.
func each(n, atOnce int, f func(i int) error) error {
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		errs    []error
	)
	places := make(chan struct{}, atOnce)
	for i := range n {
		places <- struct{}{}
		running.Go(func() {
			defer func() { <-places }()
			if err := f(i); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// start starts a program in the background, and returns what ends it.
func start(name string, args ...string) (stop func(), err error) {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	}, nil
}
