package main

import "github.com/urfave/cli/v2"

// createFlags are the flags of `create`, which `run` has too: what a container is.
func createFlags() []cli.Flag {
	var flags []cli.Flag
	for _, group := range [][]cli.Flag{identityFlags(), processFlags(), networkFlags(), fileFlags(), securityFlags(), resourceFlags(), healthFlags()} {
		flags = append(flags, group...)
	}
	return flags
}

// text, list and flag are short for the three kinds of flags that nearly all are.
func text(name, usage string, aliases ...string) cli.Flag {
	return &cli.StringFlag{Name: name, Usage: usage, Aliases: aliases}
}

func list(name, usage string, aliases ...string) cli.Flag {
	return &cli.StringSliceFlag{Name: name, Usage: usage, Aliases: aliases}
}

func flag(name, usage string, aliases ...string) cli.Flag {
	return &cli.BoolFlag{Name: name, Usage: usage, Aliases: aliases}
}

func identityFlags() []cli.Flag {
	return []cli.Flag{
		text("name", "Assign a name to the container"),
		text("cidfile", "Write the container ID to the file"),
		list("label", "Set meta data on a container", "l"),
		list("label-file", "Read in a line delimited file of labels"),
		&cli.StringFlag{Name: "pull", Value: "missing", Usage: `Pull image before creating ("always", "missing", "never")`},
		text("platform", "Set platform if the image has several"),
		flag("quiet", "Suppress the pull output", "q"),
		flag("rm", "Remove the container and its anonymous volumes when it exits"),
		text("restart", "Restart policy to apply when a container exits"),
		text("log-driver", "Logging driver for the container (json-file, none)"),
		list("log-opt", "Log driver options (max-size, max-file)"),
	}
}

func processFlags() []cli.Flag {
	return []cli.Flag{
		list("attach", "Attach to STDIN, STDOUT or STDERR", "a"),
		flag("interactive", "Keep STDIN open even if not attached", "i"),
		flag("tty", "Allocate a pseudo-TTY", "t"),
		list("env", "Set environment variables", "e"),
		list("env-file", "Read in a file of environment variables"),
		text("entrypoint", "Overwrite the default ENTRYPOINT of the image"),
		text("workdir", "Working directory inside the container", "w"),
		text("user", "Username or UID (format: <name|uid>[:<group|gid>])", "u"),
		list("group-add", "Add additional groups to join"),
		flag("init", "Run an init inside the container that forwards signals and reaps processes"),
		text("stop-signal", "Signal to stop the container"),
		text("stop-timeout", "Timeout (in seconds) to stop a container"),
		text("pid", "PID namespace to use (host, container:NAME)"),
		text("ipc", "IPC mode to use (host, container:NAME)"),
		text("uts", "UTS namespace to use (host, container:NAME)"),
		text("cgroupns", "Cgroup namespace to use (host, private)"),
		text("userns", "User namespace to use"),
	}
}

func networkFlags() []cli.Flag {
	return []cli.Flag{
		list("network", "Connect a container to a network (NAME, bridge, host, none, container:NAME, ns:PATH, name=...,alias=...,ip=...)", "net"),
		list("network-alias", "Add network-scoped alias for the container", "net-alias"),
		text("ip", "IPv4 address (e.g., 172.30.100.104)"),
		text("ip6", "IPv6 address (e.g., 2001:db8::33)"),
		text("mac-address", "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
		list("publish", "Publish a container's port(s) to the host", "p"),
		flag("publish-all", "Publish all exposed ports to random ports", "P"),
		list("expose", "Expose a port or a range of ports"),
		text("hostname", "Container host name", "h"),
		text("domainname", "Container NIS domain name"),
		list("dns", "Set custom DNS servers"),
		list("dns-search", "Set custom DNS search domains"),
		list("dns-option", "Set DNS options", "dns-opt"),
		list("add-host", "Add a custom host-to-IP mapping (host:ip)"),
		list("link", "Not supported: name resolution on a network does what links did"),
	}
}

func fileFlags() []cli.Flag {
	return []cli.Flag{
		list("volume", "Bind mount a volume", "v"),
		list("mount", "Attach a filesystem mount to the container"),
		list("tmpfs", "Mount a tmpfs directory"),
		flag("read-only", "Mount the container's root filesystem as read only"),
		text("rootfs", "Use a folder of the host as the root file system, without an image"),
		text("shm-size", "Size of /dev/shm"),
	}
}

func securityFlags() []cli.Flag {
	return []cli.Flag{
		list("cap-add", "Add Linux capabilities"),
		list("cap-drop", "Drop Linux capabilities"),
		flag("privileged", "Give extended privileges to this container"),
		list("security-opt", "Security options (no-new-privileges, seccomp=FILE|unconfined, apparmor=..., systempaths=unconfined)"),
		list("sysctl", "Sysctl options"),
		list("device", "Add a host device to the container"),
	}
}

func resourceFlags() []cli.Flag {
	return []cli.Flag{
		text("memory", "Memory limit", "m"),
		text("memory-swap", "Swap limit equal to memory plus swap: '-1' to enable unlimited swap"),
		text("memory-reservation", "Memory soft limit"),
		text("cpus", "Number of CPUs"),
		text("cpu-shares", "CPU shares (relative weight)", "c"),
		text("cpu-period", "Limit CPU CFS (Completely Fair Scheduler) period"),
		text("cpu-quota", "Limit CPU CFS (Completely Fair Scheduler) quota"),
		text("cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)"),
		text("cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)"),
		text("pids-limit", "Tune container pids limit (set -1 for unlimited)"),
		text("blkio-weight", "Block IO (relative weight), between 10 and 1000, or 0 to disable"),
		list("ulimit", "Ulimit options"),
		text("oom-score-adj", "Tune host's OOM preferences (-1000 to 1000)"),
		flag("oom-kill-disable", "Disable OOM Killer"),
		text("cgroup-parent", "Optional parent cgroup for the container"),
	}
}

func healthFlags() []cli.Flag {
	return []cli.Flag{
		text("health-cmd", "Command to run to check health"),
		text("health-interval", "Time between running the check (ms|s|m|h)"),
		text("health-timeout", "Maximum time to allow one check to run (ms|s|m|h)"),
		text("health-start-period", "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h)"),
		text("health-start-interval", "Time between running the check during the start period (ms|s|m|h)"),
		text("health-retries", "Consecutive failures needed to report unhealthy"),
		flag("no-healthcheck", "Disable any container-specified HEALTHCHECK"),
	}
}
