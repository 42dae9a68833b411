// Package monitor is the one process beside each running container: it starts the container, keeps it, records its end and
// takes away what it needed. It is ctr itself, executed again.
//
//	ctr run ──exec──▶ monitor ──libcontainer──▶ init ──exec──▶ the user's program
//
// It belongs to a session and a cgroup of its own, so that neither the end of the command that started it, nor that of the
// login or the unit that the command ran in, takes it along. It holds the container's lock (package container) for its whole
// life: whoever finds the lock free knows that nobody keeps the container.
//
// What it does, in order:
//
//	prepare   monitor.json; then side by side: the sandbox (package network), and on a thread with a private mount namespace
//	          the root file system, FIFOs, and libcontainer's init up to its exec fifo; meanwhile the init is recorded and the
//	          names are announced
//	release   the program let go; "started" to who waits
//	keep      package keep, until the init ends
//	finish    the rest of the processes killed, exit.json, the sandbox, cgroups and run folder taken down; with --rm the
//	          container too; restarted if its policy says so; the exit code to who is attached
//
// The package owns the cgroup <parent>/monitors of the unified hierarchy, where there is one.
package monitor
