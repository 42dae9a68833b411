package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// envInside tells the process that it is in the namespaces made for it.
const envInside = "CTR_BENCH_INSIDE"

func main() {
	ctr := flag.String("ctr", "bin/ctr", "the `program` to measure")
	rounds := flag.Int("rounds", 40, "how often each contestant runs")
	containers := flag.Int("containers", 500, "how many containers the full installation has")
	starts := flag.Int("starts", 10000, "how many containers the `churn` row starts")
	only := flag.String("row", "", "run the `row` of this name only")
	results := flag.String("results", "hack/bench/results.md", "the `file` to write")
	flag.Parse()
	err := run(*ctr, size{*rounds, *containers, *starts}, *only, *results)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && os.Getenv(envInside) == "" {
		os.Exit(exit.ExitCode()) // the process inside has said why
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(ctr string, size size, only, results string) error {
	if os.Getenv(envInside) == "" {
		return runInside()
	}
	if err := setUpNamespaces(); err != nil {
		return err
	}
	path, err := filepath.Abs(ctr)
	if err != nil {
		return err
	}
	b, err := newBench(path, size)
	if err != nil {
		return err
	}
	report, err := b.run(only)
	if err = errors.Join(err, b.close()); err != nil {
		return err
	}
	fmt.Print(report.text())
	return report.write(results, only)
}

// runInside runs this program again in namespaces of its own, and passes on its end. Interrupts go to the whole process
// group: the process inside cleans up, this one waits for it.
func runInside() error {
	signal.Ignore(syscall.SIGINT)
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), envInside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	return cmd.Run()
}

// setUpNamespaces makes the namespaces usable: nothing that is mounted is seen outside, lo is up.
func setUpNamespaces() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := mountRun(); err != nil {
		return err
	}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/run/netns", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount /run/netns: %w", err)
	}
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer nl.Close()
	lo, err := nl.LinkByName("lo")
	if err != nil {
		return err
	}
	return nl.LinkSetUp(lo)
}

// mountRun sees to it that /run is in memory, as on any distribution: all contestants keep there what is to be gone after a
// reboot.
func mountRun() error {
	var fs unix.Statfs_t
	if err := unix.Statfs("/run", &fs); err != nil {
		return fmt.Errorf("look at /run: %w", err)
	}
	if fs.Type == unix.TMPFS_MAGIC {
		return nil
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	return nil
}

// command runs a command and returns what it wrote to stdout, without the last newline.
func command(env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
