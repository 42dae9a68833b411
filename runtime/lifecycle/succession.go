package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"ctr/runtime/attach"
	"ctr/runtime/container"
	"ctr/runtime/monitor"
)

// Find returns the container that is meant by its name, its ID or an ID that begins so. If its monitor was killed, it has another
// one when Find returns.
func (in *Installation) Find(ref string) (*container.Container, error) {
	c, err := in.Containers.Find(ref)
	if err == nil {
		in.meet(context.Background(), c)
	}
	return c, err
}

// meet has a successor keep a container whose monitor was killed, and tells whether somebody keeps it, or nobody needs to. Of
// several commands that meet it at once one starts the successor, the others wait for that. What goes wrong is told: the
// container goes on, and what the command wants of it may work nevertheless.
func (in *Installation) meet(ctx context.Context, c *container.Container) (kept bool) {
	ctx, cancel := settling(ctx)
	defer cancel()
	p := patient(c)
	for {
		record, err := c.ReadMonitor()
		if err != nil || record.Monitor.Alive() {
			return true
		}
		lock, err := c.TryLock()
		if err == nil {
			defer lock.Close()
			record, err := c.ReadMonitor()
			return err == nil && monitor.Heir(in.Installation, c, record) && in.succeed(ctx, c, lock, nil)
		}
		if !errors.Is(err, container.ErrBusy) || p.wait(ctx) != nil {
			return false
		}
	}
}

// succeed starts the successor of a monitor that was killed, and waits until the container is kept again. The caller holds the
// lock, of which the successor has a copy; client is its first client, or nil. It tells whether there is one.
func (in *Installation) succeed(ctx context.Context, c *container.Container, lock *container.Lock, client *os.File) bool {
	warnings, err := monitor.Succeed(ctx, in.Installation, c, lock, client)
	if err != nil {
		in.tell(fmt.Sprintf("the monitor of container %s was killed, and nobody can take its place: %v", c.Name, err))
		return false
	}
	in.tell(fmt.Sprintf("the monitor of container %s was killed: another one has taken its place", c.Name))
	for _, w := range warnings {
		in.tell(w)
	}
	return true
}

// tell tells the user what the command was not asked for.
func (in *Installation) tell(text string) {
	if in.Tell != nil {
		in.Tell(text)
	}
}

// succession is the successors that one command starts, side by side.
type succession struct {
	in *Installation
	wg sync.WaitGroup
}

// of starts the successor for an abandoned container that is to have one. It tells whether it is; the lock is its own then.
func (s *succession) of(a container.Abandoned) bool {
	record, err := a.ReadMonitor()
	if err != nil || record.Monitor.Alive() || !monitor.Heir(s.in.Installation, a.Container, record) {
		return false
	}
	lock, err := a.Lock.Clone()
	if err != nil {
		return false
	}
	s.wg.Go(func() {
		defer lock.Close()
		s.in.succeed(context.Background(), a.Container, lock, nil)
	})
	return true
}

// resume attaches again after the monitor was killed: the successor, if this command is the one that starts it, has the client
// from before it reads the program's output. What is typed ends with the monitor, and so does a terminal.
func (in *Installation) resume(ctx context.Context, c *container.Container, streams attach.Streams) (*attach.Client, error) {
	ctx, cancel := settling(ctx)
	defer cancel()
	streams.Stdin, streams.Resize = nil, nil
	p := patient(c)
	for {
		record, err := c.ReadMonitor()
		if err != nil {
			return nil, attach.ErrKeeperGone
		}
		if record.Monitor.Alive() {
			// Another command was faster, the one that was killed has yet to end, or it has let go who took nothing.
			if conn, err := attach.Dial(c.AttachPath()); err == nil {
				return in.attachAgain(conn, c, streams)
			}
		} else if lock, err := c.TryLock(); err == nil {
			defer lock.Close()
			return in.succeedAttached(ctx, c, lock, streams)
		} else if !errors.Is(err, container.ErrBusy) {
			return nil, err
		}
		if err := p.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// attachAgain goes on with output from now on.
func (in *Installation) attachAgain(conn *attach.Conn, c *container.Container, streams attach.Streams) (*attach.Client, error) {
	if c.TTY {
		conn.Close()
		return nil, fmt.Errorf("container %s goes on, and 'ctr attach %s' leads back to it: what it printed was not taken for too long, or another monitor keeps it", c.Name, c.Name)
	}
	in.tell(fmt.Sprintf("output of container %s may be missing here: it was not taken for too long, or another monitor keeps it; 'ctr logs %s' has it", c.Name, c.Name))
	return attach.NewClient(conn, streams)
}

// succeedAttached is succeed with the caller as the first client.
func (in *Installation) succeedAttached(ctx context.Context, c *container.Container, lock *container.Lock, streams attach.Streams) (*attach.Client, error) {
	record, err := c.ReadMonitor()
	if err != nil || !monitor.Heir(in.Installation, c, record) {
		return nil, attach.ErrKeeperGone
	}
	ours, theirs, err := attach.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	client, err := attach.NewClient(ours, streams)
	if err != nil {
		return nil, err
	}
	if !in.succeed(ctx, c, lock, theirs) || c.TTY {
		client.Close()
		return nil, attach.ErrKeeperGone
	}
	return client, nil
}
