package monitor

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ctr/internal/cgroupfs"
	"ctr/internal/span"
	"ctr/runtime/container"
	"ctr/runtime/installation"
	"ctr/runtime/monitor/standby"
)

// Spawn starts the monitor of a container, and returns when the program runs and its network works, with warnings for the
// user, or with the error that kept it from running: *engine.StartError for a program that cannot be executed. The lock
// stays the caller's, who closes it: the monitor has a copy. So does client, the other side's end of the first attached
// connection; nil for none. When ctx ends Spawn returns, and the monitor goes on.
func Spawn(ctx context.Context, in *installation.Installation, c *container.Container, lock *container.Lock, client *os.File) ([]string, error) {
	return spawn(ctx, in, c, lock, client, order{})
}

// spawn starts a monitor with an order that says more than which container, and waits for its reply.
func spawn(ctx context.Context, in *installation.Installation, c *container.Container, lock *container.Lock, client *os.File, o order) ([]string, error) {
	starting := span.Begin("start monitor")
	defer starting.End()
	p, err := standby.Take()
	if err != nil {
		return nil, fmt.Errorf("start monitor: %w", err)
	}
	ours := os.NewFile(uintptr(p.Control), "control")
	defer ours.Close()
	go unix.Wait4(p.PID, nil, 0, nil) //nolint:errcheck // only so that no zombie stays as long as we live; its word is the reply
	o.Data, o.Run, o.ID = in.Roots.Data, in.Roots.Run, c.ID
	if err := sendOrder(ours, o, lock.File, client, span.File()); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { unix.Shutdown(int(ours.Fd()), unix.SHUT_RDWR) }) //nolint:errcheck // it may be closed
	defer stop()
	r, err := receiveReply(ours)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	return r.Warnings, r.err()
}

// enterCgroup moves this process into the monitors' cgroup of the unified hierarchy, where there is one; else it stays in its
// caller's. It takes as long as package prewarm spares others, and so is done beside the rest. To be made in it (clone3(2),
// CLONE_INTO_CGROUP) would cost the command just that time: cgroup_mutex is held while somebody waits to move a process.
func enterCgroup(parent string) {
	root := cgroupfs.UnifiedRoot()
	if root == "" {
		return
	}
	dir := root + parent + "/" + container.MonitorsCgroup
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return
	}
	if f, err := os.OpenFile(dir+"/cgroup.procs", os.O_WRONLY, 0); err == nil {
		_, _ = f.WriteString("0")
		f.Close()
	}
}
