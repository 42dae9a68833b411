package testhost

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ResolverAddress is where the host's resolv.conf points to: an address of its lo that containers reach as well.
const ResolverAddress = "192.0.2.53"

// pipeFd is the read end of the pipe that tells PID 1 when the test binary outside is gone.
const pipeFd = 3

// A test binary that finds itself told to be a host's PID 1 becomes it before any test starts.
func init() {
	record, ok := os.LookupEnv(envInit)
	if !ok {
		return
	}
	code, err := beInit(record)
	if err != nil {
		fmt.Fprintf(os.Stderr, "testhost: %v\n", err)
	}
	os.Exit(code)
}

// beInit sets the host up, runs the test in it and reaps whatever is orphaned. It returns the test's exit code.
func beInit(record string) (int, error) {
	var h Host
	if err := json.Unmarshal([]byte(record), &h); err != nil {
		return 1, fmt.Errorf("read %s: %w", envInit, err)
	}
	unix.CloseOnExec(pipeFd)
	go func() {
		var b [1]byte
		_, _ = os.NewFile(pipeFd, "pipe").Read(b[:])
		os.Exit(1)
	}()
	if err := h.setUp(); err != nil {
		return 1, fmt.Errorf("set up host: %w", err)
	}
	// A shell has what it runs in the background ignore these (POSIX.1-2024, 2.12), and so would all that the test starts and
	// then interrupts. What is caught here is as by default in a child.
	signal.Notify(make(chan os.Signal, 1), unix.SIGINT, unix.SIGQUIT)
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, envInit+"=") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, envHost+"="+record, "CTR_ROOT="+h.Root, "CTR_RUN_ROOT="+h.RunRoot)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 1, fmt.Errorf("wait for the test: %w", err)
		case pid == cmd.Process.Pid && status.Signaled():
			return 1, fmt.Errorf("test ended by signal %v", status.Signal())
		case pid == cmd.Process.Pid:
			return status.ExitStatus(), nil
		}
	}
}

// setUp turns fresh namespaces into a host.
func (h *Host) setUp() error {
	if err := h.setUpMounts(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte("testhost")); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	for _, dir := range []string{"/run/netns", "/run/lock"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	// Ubuntu's resolv.conf is a link into /run, which is a new one.
	if err := os.Remove("/etc/resolv.conf"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.WriteFile("/etc/resolv.conf", []byte("nameserver "+ResolverAddress+"\n"), 0o644); err != nil {
		return err
	}
	return setUpLoopback()
}

// setUpMounts gives the host its own mounts. Nothing of them is seen outside.
func (h *Host) setUpMounts() error {
	if err := mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return err
	}
	if err := mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	// A sysfs shows the network namespace that it was mounted in; the cgroups mounted below the old one come along.
	const cgroups, kept = "/sys/fs/cgroup", "/run/cgroup"
	if err := os.Mkdir(kept, 0o755); err != nil {
		return err
	}
	if err := mount(cgroups, kept, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if err := mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	if err := mount(kept, cgroups, "", unix.MS_MOVE, ""); err != nil {
		return err
	}
	if err := os.Remove(kept); err != nil {
		return err
	}
	if err := h.makeOverlayable(); err != nil {
		return err
	}
	upper, work := filepath.Join(h.Dir, "etc"), filepath.Join(h.Dir, "etc.work")
	for _, dir := range []string{upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	return mount("overlay", "/etc", "overlay", 0, "lowerdir=/etc,upperdir="+upper+",workdir="+work)
}

// makeOverlayable mounts a tmpfs on the host's folder where the file system below it cannot hold the upper folder of an
// overlay: in a container whose own root is one.
func (h *Host) makeOverlayable() error {
	var fs unix.Statfs_t
	if err := unix.Statfs(h.Dir, &fs); err != nil {
		return fmt.Errorf("look at %q: %w", h.Dir, err)
	}
	if fs.Type != unix.OVERLAYFS_SUPER_MAGIC {
		return nil
	}
	return mount("tmpfs", h.Dir, "tmpfs", 0, "mode=755")
}

// setUpLoopback brings lo up, with the resolver's address.
func setUpLoopback() error {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer nl.Close()
	lo, err := nl.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := nl.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	addr, err := netlink.ParseAddr(ResolverAddress + "/32")
	if err != nil {
		return err
	}
	if err := nl.AddrAdd(lo, addr); err != nil {
		return fmt.Errorf("add %s to lo: %w", addr, err)
	}
	return nil
}

// mount is mount(2) with an error that names the target.
func mount(source, target, fstype string, flags uintptr, data string) error {
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		return fmt.Errorf("mount %q: %w", target, err)
	}
	return nil
}
