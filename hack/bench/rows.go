package main

import (
	"os"
	"os/exec"
)

// rows are all comparisons, in the order of the table. The ratios to docker count only where it runs.
var rows = []row{startRow, scaleRow, parallelRow, execRow, memoryRow, dnsRow, dnsLatencyRow, throughputRow, packetsRow, connectionsRow, proxyRow, proxyCostRow, logRow, versionRow, sizeRow, churnRow}

var startRow = row{
	name: "start", unit: "ms",
	title: "`run --rm --network NET busybox true` against `runc run` of a bare bundle, without a network and without seccomp",
	prepare: func(b *bench) ([]contestant, error) {
		all := []contestant{
			{name: "runc run", measure: timed(nil, "runc", "run", "--bundle", b.bundle, "ctr-bench-start")},
			{name: "ctr run", measure: timed(b.env, b.ctr, "run", "--rm", "--network", network, "busybox", "true"), target: 1.15},
		}
		for _, p := range b.peers {
			all = append(all, contestant{
				name: p.name + " run", measure: timed(p.env, p.name, "run", "--rm", "--network", network, image, "true"),
				base: "ctr run", slower: 8,
			})
		}
		return all, nil
	},
}

const execName = "ctr-bench-exec"

var execRow = row{
	name: "exec", unit: "ms",
	title: "`exec NAME true` against `runc exec`",
	prepare: func(b *bench) ([]contestant, error) {
		if _, err := command(b.env, b.ctr, "run", "-d", "--name", execName, "busybox", "sleep", "1000"); err != nil {
			return nil, err
		}
		if err := b.startBare(); err != nil {
			return nil, err
		}
		all := []contestant{
			{name: "runc exec", measure: timed(nil, "runc", "exec", execName, "true")},
			{name: "ctr exec", measure: timed(b.env, b.ctr, "exec", execName, "true"), target: 0.8},
		}
		for _, p := range b.peers {
			if _, err := command(p.env, p.name, "run", "-d", "--name", execName, image, "sleep", "1000"); err != nil {
				return nil, err
			}
			c := contestant{name: p.name + " exec", measure: timed(p.env, p.name, "exec", execName, "true"), base: "ctr exec"}
			if p.name == "docker" {
				c.slower = 4
			}
			all = append(all, c)
		}
		return all, nil
	},
	clean: func(b *bench) error {
		_, err := command(b.env, b.ctr, "rm", "-f", execName)
		return err
	},
}

// startBare starts what runc's exec runs in. It keeps the descriptors that it gets, so it gets none to wait for.
func (b *bench) startBare() error {
	return exec.Command("runc", "run", "--detach", "--bundle", b.sleepBundle, execName).Run()
}

var versionRow = row{
	name: "version", unit: "ms",
	title: "`ctr version`, the start of the binary, against `true`",
	prepare: func(b *bench) ([]contestant, error) {
		return []contestant{
			{name: "true", measure: timed(nil, "/bin/true")},
			{name: "ctr version", measure: timed(b.env, b.ctr, "version"), target: 5.0},
		}, nil
	},
}

var sizeRow = row{
	name: "size", unit: "MB", rounds: 1,
	title: "the size of the binary",
	prepare: func(b *bench) ([]contestant, error) {
		return []contestant{{name: "ctr", limit: 25, measure: func() (float64, error) {
			info, err := os.Stat(b.ctr)
			if err != nil {
				return 0, err
			}
			return float64(info.Size()) / 1e6, nil
		}}}, nil
	},
}
