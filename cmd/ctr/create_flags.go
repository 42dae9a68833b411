package main

import (
	"errors"

	"github.com/urfave/cli/v2"
)

// createFlags are the flags of `create`, which `run` has too: what a container is.
func createFlags() []cli.Flag {
	var flags []cli.Flag
	for _, group := range [][]cli.Flag{identityFlags(), processFlags(), networkFlags(), fileFlags(), securityFlags(), resourceFlags(), healthFlags()} {
		flags = append(flags, group...)
	}
	return flags
}

// textFlag, listFlag and boolFlag are short for the three kinds of flags that nearly all are.
func textFlag(name, usage string, aliases ...string) cli.Flag {
	return &cli.StringFlag{Name: name, Usage: usage, Aliases: aliases}
}

func listFlag(name, usage string, aliases ...string) cli.Flag {
	// KeepSpace: the library would cut the blanks off the end of -e A="b ".
	return &cli.StringSliceFlag{Name: name, Usage: usage, Aliases: aliases, KeepSpace: true}
}

func boolFlag(name, usage string, aliases ...string) cli.Flag {
	return &cli.BoolFlag{Name: name, Usage: usage, Aliases: aliases}
}

// trustFlag is taken for commands written for Docker, whose default it is. checkTrust refuses what it would turn on.
func trustFlag() cli.Flag {
	return &cli.BoolFlag{Name: "disable-content-trust", Value: true, Usage: "Skip image verification (always: there are no signatures)"}
}

func checkTrust(c *cli.Context) error {
	if !c.Bool("disable-content-trust") {
		return errors.New("image verification is not supported: leave --disable-content-trust=false away")
	}
	return nil
}

func identityFlags() []cli.Flag {
	return []cli.Flag{
		textFlag("name", "Assign a name to the container"),
		textFlag("cidfile", "Write the container ID to the file"),
		listFlag("label", "Set meta data on a container", "l"),
		listFlag("label-file", "Read in a line delimited file of labels"),
		&cli.StringFlag{Name: "pull", Value: "missing", Usage: `Pull image before creating ("always", "missing", "never")`},
		textFlag("platform", "Set platform if the image has several"),
		boolFlag("quiet", "Suppress the pull output", "q"),
		trustFlag(),
		boolFlag("rm", "Remove the container and its anonymous volumes when it exits"),
		textFlag("restart", "Restart policy to apply when a container exits"),
		textFlag("log-driver", "Logging driver for the container (json-file, journald, none)"),
		listFlag("log-opt", "Log driver options (max-size, max-file, labels, env, tag, ...)"),
	}
}

func processFlags() []cli.Flag {
	return []cli.Flag{
		listFlag("attach", "Attach to STDIN, STDOUT or STDERR", "a"),
		boolFlag("interactive", "Keep STDIN open even if not attached", "i"),
		boolFlag("tty", "Allocate a pseudo-TTY", "t"),
		listFlag("env", "Set environment variables", "e"),
		listFlag("env-file", "Read in a file of environment variables"),
		textFlag("entrypoint", "Overwrite the default ENTRYPOINT of the image"),
		textFlag("workdir", "Working directory inside the container", "w"),
		textFlag("user", "Username or UID (format: <name|uid>[:<group|gid>])", "u"),
		listFlag("group-add", "Add additional groups to join"),
		boolFlag("init", "Run an init inside the container that forwards signals and reaps processes"),
		textFlag("stop-signal", "Signal to stop the container"),
		textFlag("stop-timeout", "Timeout (in seconds) to stop a container"),
		textFlag("pid", "PID namespace to use (host, container:NAME)"),
		textFlag("ipc", "IPC mode to use (host, none, private, shareable, container:NAME)"),
		textFlag("uts", "UTS namespace to use (host, container:NAME)"),
		textFlag("cgroupns", "Cgroup namespace to use (host, private)"),
		textFlag("userns", "User namespace to use (host, auto[:size=N], remap:NAME, UID:LENGTH, container:NAME)"),
	}
}

func networkFlags() []cli.Flag {
	return []cli.Flag{
		listFlag("network", "Connect a container to a network (NAME, bridge, host, none, container:NAME, ns:PATH, name=...,alias=...,ip=...)", "net"),
		listFlag("network-alias", "Add network-scoped alias for the container", "net-alias"),
		textFlag("ip", "IPv4 address (e.g., 172.30.100.104)"),
		textFlag("ip6", "IPv6 address (e.g., 2001:db8::33)"),
		textFlag("mac-address", "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
		listFlag("publish", "Publish a container's port(s) to the host", "p"),
		boolFlag("publish-all", "Publish all exposed ports to random ports", "P"),
		listFlag("expose", "Expose a port or a range of ports"),
		textFlag("hostname", "Container host name", "h"),
		textFlag("domainname", "Container NIS domain name"),
		listFlag("dns", "Set custom DNS servers"),
		listFlag("dns-search", "Set custom DNS search domains"),
		listFlag("dns-option", "Set DNS options", "dns-opt"),
		listFlag("add-host", "Add a custom host-to-IP mapping (host:ip)"),
		listFlag("link", "Not supported: name resolution on a network does what links did"),
	}
}

func fileFlags() []cli.Flag {
	return []cli.Flag{
		listFlag("volume", "Bind mount a volume", "v"),
		listFlag("volumes-from", "Mount volumes from the specified container(s)"),
		listFlag("mount", "Attach a filesystem mount to the container"),
		listFlag("tmpfs", "Mount a tmpfs directory"),
		boolFlag("read-only", "Mount the container's root filesystem as read only"),
		textFlag("rootfs", "Use a folder of the host as the root file system, without an image"),
		textFlag("shm-size", "Size of /dev/shm"),
	}
}

func securityFlags() []cli.Flag {
	return []cli.Flag{
		listFlag("cap-add", "Add Linux capabilities"),
		listFlag("cap-drop", "Drop Linux capabilities"),
		boolFlag("privileged", "Give extended privileges to this container"),
		listFlag("security-opt", "Security options (no-new-privileges, seccomp=FILE|unconfined, apparmor=..., systempaths=unconfined)"),
		listFlag("sysctl", "Sysctl options"),
		listFlag("device", "Add a host device to the container"),
		listFlag("device-cgroup-rule", "Add a rule to the cgroup allowed devices list (c 10:200 rwm)"),
	}
}

func resourceFlags() []cli.Flag {
	return []cli.Flag{
		textFlag("memory", "Memory limit", "m"),
		textFlag("memory-swap", "Swap limit equal to memory plus swap: '-1' to enable unlimited swap"),
		textFlag("memory-reservation", "Memory soft limit"),
		textFlag("memory-swappiness", "Tune container memory swappiness (0 to 100, cgroup v1 only)"),
		textFlag("cpus", "Number of CPUs"),
		textFlag("cpu-shares", "CPU shares (relative weight)", "c"),
		textFlag("cpu-period", "Limit CPU CFS (Completely Fair Scheduler) period"),
		textFlag("cpu-quota", "Limit CPU CFS (Completely Fair Scheduler) quota"),
		textFlag("cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)"),
		textFlag("cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)"),
		textFlag("pids-limit", "Tune container pids limit (set -1 for unlimited)"),
		textFlag("blkio-weight", "Block IO (relative weight), between 10 and 1000, or 0 to disable"),
		listFlag("blkio-weight-device", "Block IO weight on a device (/dev/sda:500), between 10 and 1000, or 0 to disable"),
		listFlag("device-read-bps", "Limit read rate (bytes per second) from a device (/dev/sda:1mb)"),
		listFlag("device-write-bps", "Limit write rate (bytes per second) to a device"),
		listFlag("device-read-iops", "Limit read rate (IO per second) from a device (/dev/sda:100)"),
		listFlag("device-write-iops", "Limit write rate (IO per second) to a device"),
		listFlag("ulimit", "Ulimit options"),
		textFlag("oom-score-adj", "Tune host's OOM preferences (-1000 to 1000)"),
		boolFlag("oom-kill-disable", "Disable OOM Killer"),
		textFlag("cgroup-parent", "Cgroup to make the container's in: an absolute path, or one below ctr's own"),
	}
}

func healthFlags() []cli.Flag {
	return []cli.Flag{
		textFlag("health-cmd", "Command to run to check health"),
		textFlag("health-interval", "Time between running the check (ms|s|m|h)"),
		textFlag("health-timeout", "Maximum time to allow one check to run (ms|s|m|h)"),
		textFlag("health-start-period", "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h)"),
		textFlag("health-start-interval", "Time between running the check during the start period (ms|s|m|h)"),
		textFlag("health-retries", "Consecutive failures needed to report unhealthy"),
		boolFlag("no-healthcheck", "Disable any container-specified HEALTHCHECK"),
	}
}
