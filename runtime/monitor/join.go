package monitor

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"ctr/internal/proc"
	"ctr/network/netns"
	"ctr/runtime/attach"
	"ctr/runtime/container"
	"ctr/runtime/engine"
)

// held is a namespace of another container, or at a path, held open so that it cannot become another one.
type held struct {
	f    *os.File
	init proc.ID      // the other container's first process; zero for a path
	hold *attach.Conn // network only: keeps the other container's sandbox alive
}

// path leads to the namespace for libcontainer's init, which is another process.
func (h *held) path() string {
	return "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(int(h.f.Fd()))
}

// joins are the namespaces that the container shares with another one; nil: not shared.
type joins struct {
	pid, ipc, uts, net, user *held
	spec                     container.Namespaces
}

func (j joins) pidPath() string { return nsPath(j.pid, j.spec.PID) }
func (j joins) ipcPath() string { return nsPath(j.ipc, j.spec.IPC) }
func (j joins) utsPath() string { return nsPath(j.uts, j.spec.UTS) }

// nsPath is how the engine is told of a namespace.
func nsPath(h *held, mode container.Mode) string {
	switch {
	case h != nil:
		return h.path()
	case mode == container.ModeHost:
		return engine.HostNS
	}
	return ""
}

// hold is the connection that keeps another container's sandbox alive, or nil.
func (j joins) hold() *attach.Conn {
	if j.net == nil {
		return nil
	}
	return j.net.hold
}

// closeNamespaces closes what the container's init has entered.
func (j joins) closeNamespaces() {
	for _, h := range []*held{j.pid, j.ipc, j.uts, j.net, j.user} {
		if h != nil && h.f != nil {
			h.f.Close()
			h.f = nil
		}
	}
}

func (j joins) close() {
	j.closeNamespaces()
	if hold := j.hold(); hold != nil {
		hold.Close()
	}
}

// join opens all namespaces that the spec asks to share.
func (m *monitor) join() (j joins, err error) {
	j.spec = m.c.Namespaces
	defer func() {
		if err != nil {
			j.close()
		}
	}()
	for _, want := range []struct {
		what, file string
		mode       container.Mode
		to         **held
	}{
		{"PID", "pid", m.c.Namespaces.PID, &j.pid},
		{"IPC", "ipc", m.c.Namespaces.IPC, &j.ipc},
		{"UTS", "uts", m.c.Namespaces.UTS, &j.uts},
		{"network", "net", m.c.Network.Mode, &j.net},
		{"user", "user", m.c.Namespaces.User, &j.user},
	} {
		if path, ok := want.mode.Path(); ok {
			h, err := netns.Open(path)
			if err != nil {
				return j, err
			}
			*want.to = &held{f: h.File()}
			continue
		}
		id, ok := want.mode.Container()
		if !ok {
			continue
		}
		if *want.to, err = m.joinContainer(want.what, want.file, id); err != nil {
			return j, err
		}
	}
	return j, nil
}

// joinContainer opens a namespace of a running container. The init is looked at before and after, so that the namespace is not
// that of a process that got its PID.
func (m *monitor) joinContainer(what, file, id string) (*held, error) {
	target, err := m.in.Containers.Load(id)
	if err != nil {
		return nil, fmt.Errorf("join %s namespace: %w", what, err)
	}
	state := target.State()
	record, err := target.ReadMonitor()
	if err != nil || !state.Running() {
		if state.Status == container.Running {
			state.Status = container.Exited // its monitor has yet to say so
		}
		return nil, fmt.Errorf("cannot join %s namespace of a non running container: container %s is %s", what, target.Name, state.Status)
	}
	h := &held{init: record.Init}
	if what == "network" && record.Monitor.Alive() {
		if h.hold, err = hold(target); err != nil {
			return nil, err
		}
	}
	h.f, err = os.Open("/proc/" + strconv.Itoa(record.Init.PID) + "/ns/" + file)
	if err == nil && record.Init.Alive() {
		return h, nil
	}
	if h.hold != nil {
		h.hold.Close()
	}
	if err == nil {
		h.f.Close()
	}
	return nil, fmt.Errorf("cannot join %s namespace of a non running container: container %s is exited", what, target.Name)
}

// hold asks the monitor of the container to keep its sandbox for as long as the connection lasts.
func hold(target *container.Container) (*attach.Conn, error) {
	conn, err := attach.Dial(target.AttachPath())
	if err != nil {
		return nil, fmt.Errorf("hold network of container %s: %w", target.Name, err)
	}
	if err := conn.SendJSON(attach.Hello, attach.Request{Version: 1, Hold: true}); err != nil {
		return nil, errors.Join(fmt.Errorf("hold network of container %s: %w", target.Name, err), conn.Close())
	}
	return conn, nil
}
