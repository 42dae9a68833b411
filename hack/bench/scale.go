package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// scaleRow asks whether what others run slows us down: each size is an installation with so many containers on one network. Of
// docker, which has one installation, each is a network, and the largest is left out: it would take minutes.
var scaleRow = row{
	name: "scale", unit: "ms", rounds: 15,
	title: "the same command where few containers are on the network, and where many are",
	prepare: func(b *bench) ([]contestant, error) {
		var all []contestant
		add := func(fleets []fleet, questions []question) error {
			for _, f := range fleets {
				if err := f.start(); err != nil {
					return err
				}
			}
			for _, q := range questions {
				all = append(all, compareFleets(fleets, q)...)
			}
			return nil
		}
		if err := add(b.fleets(), []question{
			{"run", func(f fleet) []string { return f.run("true") }, 0},
			{"first DNS answer", func(f fleet) []string { return f.run("nslookup", "c0") }, 0},
			{"inspect", func(fleet) []string { return []string{"inspect", "c0"} }, 0},
			{"ps", func(fleet) []string { return []string{"ps"} }, 50},
		}); err != nil {
			return nil, err
		}
		err := add(b.dockerFleets(), []question{
			{"docker run", func(f fleet) []string { return f.run("true") }, 0},
			{"docker first DNS answer", func(f fleet) []string { return f.run("nslookup", f.member(0)) }, 0},
		})
		return all, err
	},
	clean: func(b *bench) error {
		var errs []error
		for _, f := range b.fleets() {
			_, err := command(f.env, f.program, "system", "reset", "--force")
			errs = append(errs, err)
		}
		for _, f := range b.dockerFleets() {
			errs = append(errs, f.end())
		}
		return errors.Join(errs...)
	},
}

// fleet is a network with containers on it.
type fleet struct {
	program, image, network string
	env                     []string
	size                    int
	prefix                  string // of the containers' names
	setUp                   [][]string
}

// question is what is asked of each fleet.
type question struct {
	name  string
	argv  func(fleet) []string
	limit float64 // in milliseconds, of the largest fleet, in place of a ratio
}

// fleets are those of ctr, the smallest first.
func (b *bench) fleets() []fleet {
	var all []fleet
	for i, size := range slices.Compact([]int{5, min(100, b.containers), b.containers}) {
		name := fmt.Sprint("fleet", size)
		subnet := fmt.Sprintf("10.%d.0.0/20", 220+i)
		all = append(all, fleet{
			program: b.ctr, image: "busybox", network: network, size: size, prefix: "c",
			env:   []string{"CTR_ROOT=" + filepath.Join(b.dir, name), "CTR_RUN_ROOT=" + filepath.Join(b.runRoot, name)},
			setUp: [][]string{{"hack/images/import", b.ctr, "busybox"}, {b.ctr, "network", "create", "--subnet", subnet, network}},
		})
	}
	return all
}

// dockerFleets are those of docker, none if it does not answer.
func (b *bench) dockerFleets() []fleet {
	var all []fleet
	for _, p := range b.peers {
		if p.name != "docker" {
			continue
		}
		for _, size := range []int{5, min(100, b.containers)} {
			name := fmt.Sprint("ctr-bench-", size)
			all = append(all, fleet{
				program: p.name, image: image, network: name, size: size, prefix: name + "-", env: p.env,
				setUp: [][]string{{p.name, "network", "create", name}},
			})
		}
	}
	return all
}

// member is the name of one of its containers.
func (f fleet) member(i int) string { return fmt.Sprint(f.prefix, i) }

// run is the command that runs something beside them.
func (f fleet) run(argv ...string) []string {
	return append([]string{"run", "--rm", "--network", f.network, f.image}, argv...)
}

func (f fleet) start() error {
	for _, argv := range f.setUp {
		if _, err := command(f.env, argv[0], argv[1:]...); err != nil {
			return err
		}
	}
	return each(f.size, 4, func(i int) error {
		_, err := command(f.env, f.program, "run", "-d", "--name", f.member(i), "--network", f.network, f.image, "sleep", "10000")
		return err
	})
}

// end removes containers and network, as far as they are there.
func (f fleet) end() error {
	argv := []string{"rm", "-f"}
	for i := range f.size {
		argv = append(argv, f.member(i))
	}
	_, err := command(f.env, f.program, argv...)
	_, err2 := command(f.env, f.program, "network", "rm", f.network)
	return errors.Join(err, err2)
}

// compareFleets asks each fleet the same; the smallest is the measure.
func compareFleets(fleets []fleet, q question) []contestant {
	var all []contestant
	for _, f := range fleets {
		c := contestant{
			name: fmt.Sprintf("%s, %d containers", q.name, f.size), measure: timed(f.env, append([]string{f.program}, q.argv(f)...)...),
		}
		if c.base = c.name; len(all) > 0 {
			c.base = all[0].name
		}
		switch last := f.size == fleets[len(fleets)-1].size; {
		case f.program == "docker" || len(all) == 0:
		case q.limit == 0:
			c.target = 1.2
		case last:
			c.limit = q.limit
		}
		all = append(all, c)
	}
	return all
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
			theirs := crowdOf(p.name, p.name, p.env, image)
			for i := range theirs {
				theirs[i].mayFail = true // podman 4.3 gives two containers the same port
			}
			all = append(all, theirs...)
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
