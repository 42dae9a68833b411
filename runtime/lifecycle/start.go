package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ctr/network"
	"ctr/runtime/attach"
	"ctr/runtime/container"
	"ctr/runtime/monitor"
)

// Session is a container that the caller is attached to.
type Session struct {
	in      *Installation
	c       *container.Container
	streams attach.Streams

	mu     sync.Mutex
	client *attach.Client
	closed bool
}

// Wait relays the streams until the program ends or the user detaches. With AutoRemove it returns only when the container is
// gone. If the monitor is killed meanwhile it goes on with another one, as far as that can.
func (s *Session) Wait() (attach.Result, error) {
	for {
		result, err := s.client.Wait()
		if !errors.Is(err, attach.ErrKeeperGone) || s.isClosed() {
			return result, err
		}
		client, resumeErr := s.in.resume(context.Background(), s.c, s.streams)
		if resumeErr != nil {
			return result, resumeErr
		}
		s.mu.Lock()
		closed := s.closed
		s.client = client
		s.mu.Unlock()
		if closed {
			client.Close()
		}
	}
}

// Close leaves the container to itself.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return s.client.Close()
}

func (s *Session) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// session is what is relayed by the client.
func (in *Installation) session(c *container.Container, streams attach.Streams, client *attach.Client) *Session {
	return &Session{in: in, c: c, streams: streams, client: client}
}

// Start starts a container that does not run. It returns when the program runs and its network works, with warnings for the
// user. With streams the caller is attached from before the first byte of output, and gets a session; without them, none. A
// container that runs already is left alone, and has no session. It returns *engine.StartError for a program that cannot be
// executed. On error nothing is left of the try.
func (in *Installation) Start(ctx context.Context, c *container.Container, streams *attach.Streams) (*Session, []string, error) {
	in.meet(ctx, c)
	lock, err := in.lockToStart(ctx, c)
	for p, last := patient(c), time.Now().Add(settleTimeout); errors.Is(err, errLingers); lock, err = in.lockToStart(ctx, c) {
		session, warnings, err := in.startAgain(ctx, c, streams)
		if !errors.Is(err, attach.ErrKeeperGone) || time.Now().After(last) {
			return session, warnings, err
		}
		// Who used the sandbox has gone, or somebody else's start has failed.
		if err := p.wait(ctx); err != nil {
			return nil, nil, err
		}
	}
	if err != nil || lock == nil {
		return nil, nil, err
	}
	defer lock.Close()
	if err := in.recover(c); err != nil {
		return nil, nil, fmt.Errorf("take over container %s: %w", c.Name, err)
	}
	if c.State().Running() {
		return nil, nil, nil // its monitor was killed, and it goes on
	}
	if in.renewNetworks(c) {
		if err := in.changeSpec(c, nil, func(*network.Live) error { return nil }); err != nil {
			return nil, nil, err
		}
	}
	if streams == nil {
		warnings, err := monitor.Spawn(ctx, in.Installation, c, lock, nil)
		return nil, warnings, err
	}
	streams.Resized = in.resized(c)
	ours, theirs, err := attach.Pair()
	if err != nil {
		return nil, nil, err
	}
	defer theirs.Close()
	client, err := attach.NewFirst(ours, *streams)
	if err != nil {
		return nil, nil, err
	}
	warnings, err := monitor.Spawn(ctx, in.Installation, c, lock, theirs)
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return in.session(c, *streams, client), warnings, nil
}

// startAgain starts a container whose monitor keeps its sandbox for others.
func (in *Installation) startAgain(ctx context.Context, c *container.Container, streams *attach.Streams) (*Session, []string, error) {
	if streams != nil {
		streams.Resized = in.resized(c)
		client, warnings, err := monitor.StartAgain(ctx, c, *streams)
		if err != nil {
			return nil, nil, err
		}
		return in.session(c, *streams, client), warnings, nil
	}
	client, warnings, err := monitor.StartAgain(ctx, c, attach.Streams{})
	if err != nil {
		return nil, nil, err
	}
	return nil, warnings, client.Close()
}

// errLingers is returned when the container has ended and its monitor only keeps its sandbox for others.
var errLingers = errors.New("container's sandbox is in use")

// lockToStart takes the container's lock; nil if the container runs, or will in a moment. It returns errLingers if the lock is
// its monitor's although the container has ended.
func (in *Installation) lockToStart(ctx context.Context, c *container.Container) (*container.Lock, error) {
	ctx, cancel := settling(ctx)
	defer cancel()
	p := patient(c)
	for {
		lock, err := c.TryLock()
		if !errors.Is(err, container.ErrBusy) {
			return lock, err
		}
		if c.State().Running() {
			return nil, nil
		}
		if record, err := c.ReadMonitor(); err == nil && record.Lingering {
			return nil, errLingers
		}
		// Its monitor takes it down, or another command starts it: wait for the one or the other.
		if err := p.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// Attach attaches to a running container. It returns container.ErrNotRunning if it does not run.
func (in *Installation) Attach(_ context.Context, c *container.Container, streams attach.Streams) (*Session, error) {
	if state := c.State(); !state.Running() {
		return nil, &cannotAttachError{state.Status}
	} else if state.Status == container.Paused {
		return nil, errors.New("You cannot attach to a paused container, unpause it first") //nolint:staticcheck // Docker's words
	}
	if record, err := c.ReadMonitor(); err == nil && record.TerminalLost {
		return nil, fmt.Errorf("attach to container %s: its terminal ended with its monitor, which was killed: 'ctr restart %s' gives it another one", c.Name, c.Name)
	}
	conn, err := attach.Dial(c.AttachPath())
	if err != nil {
		return nil, fmt.Errorf("attach to container %s: its monitor was killed: %w", c.Name, err)
	}
	in.Notify(c, "attach")
	streams.Resized = in.resized(c)
	client, err := attach.NewClient(conn, streams)
	if err != nil {
		return nil, fmt.Errorf("attach to container %s: %w", c.Name, err)
	}
	return in.session(c, streams, client), nil
}

type cannotAttachError struct{ status container.Status }

func (e *cannotAttachError) Error() string {
	return "You cannot attach to a stopped container, start it first"
}

func (e *cannotAttachError) Unwrap() error { return container.ErrNotRunning }
