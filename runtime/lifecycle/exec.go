package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ctr/internal/proc"
	"ctr/rootfs"
	"ctr/runtime/attach"
	"ctr/runtime/container"
	"ctr/runtime/engine"
)

// Exec runs one more program in a running container and returns its exit code. With streams it waits for the program, relaying
// them; without, it returns as soon as the program runs, with code 0. It returns container.ErrNotRunning, or *engine.StartError
// if the program cannot be executed.
func (in *Installation) Exec(ctx context.Context, c *container.Container, spec ExecSpec, streams *attach.Streams) (int, error) {
	command := strings.Join(spec.Args, " ")
	in.Notify(c, "exec_create: "+command)
	in.Notify(c, "exec_start: "+command)
	result, err := in.exec(ctx, c, spec, streams)
	switch {
	case err != nil || streams == nil: // that of a program in the background its keeper writes down
	case result.Detached:
		in.Notify(c, "exec_detach")
	default:
		in.Notify(c, "exec_die", "exitCode", strconv.Itoa(result.ExitCode))
	}
	return result.ExitCode, err
}

// execConfig checks that the container can run a program now, and says how.
func (in *Installation) execConfig(c *container.Container, spec ExecSpec) (engine.ExecConfig, error) {
	state, err := c.RequireRunning()
	if err != nil {
		return engine.ExecConfig{}, err
	}
	if state.Status == container.Paused {
		return engine.ExecConfig{}, &pausedError{c.Name}
	}
	user, err := rootfs.LookupUser("/proc/"+strconv.Itoa(state.PID)+"/root", firstOf(spec.User, c.User), nil)
	if err != nil {
		return engine.ExecConfig{}, err
	}
	if err := engine.UseInit(in.InitProgram); err != nil {
		return engine.ExecConfig{}, err
	}
	return engine.ExecConfig{
		User: engine.User{UID: user.UID, GID: user.GID, Groups: user.Groups, Home: user.Home},
		Args: spec.Args, Env: mergeEnv(c.Env, spec.Env), WorkDir: firstOf(spec.WorkDir, c.WorkDir),
		Hostname: firstOf(c.Hostname, c.ShortID()), Privileged: spec.Privileged,
	}, nil
}

func (in *Installation) exec(ctx context.Context, c *container.Container, spec ExecSpec, streams *attach.Streams) (attach.Result, error) {
	if streams == nil {
		return attach.Result{}, in.execDetached(c, spec)
	}
	cfg, err := in.execConfig(c, spec)
	if err != nil {
		return attach.Result{}, err
	}
	if spec.TTY {
		return in.execTTY(c, cfg, streams)
	}
	if !spec.Bound {
		ctx = context.Background()
	}
	code, err := in.execPipes(ctx, c, cfg, streams)
	return attach.Result{ExitCode: code}, err
}

// execTTY gives the program a terminal and relays it.
func (in *Installation) execTTY(c *container.Container, cfg engine.ExecConfig, streams *attach.Streams) (attach.Result, error) {
	size := streams.FirstSize()
	p, err := engine.Exec(in.Containers.RunRoot(), c.ID, cfg, engine.Stdio{Console: true, Width: size.Width, Height: size.Height})
	if err != nil {
		return attach.Result{}, err
	}
	defer p.Pty.Close()
	detached := make(chan struct{})
	if streams.Stdin != nil {
		go func() {
			_, err := io.Copy(p.Pty, attach.DetachReader(streams.Stdin, streams.DetachKeys))
			if errors.Is(err, attach.ErrDetached) {
				close(detached)
			}
		}()
	}
	if streams.Resize != nil {
		go func() {
			for s := range streams.Resize {
				attach.SetSize(p.Pty, s) //nolint:errcheck // the program has gone
			}
		}()
	}
	out := make(chan struct{})
	go func() {
		defer close(out)
		io.Copy(writerOrDiscard(streams.Stdout), p.Pty) //nolint:errcheck // it ends with EIO
	}()
	select {
	case <-out:
	case <-detached:
		if err := in.keepTerminal(c, p); !errors.Is(err, proc.ErrGone) {
			return attach.Result{Detached: true}, err
		}
	}
	code, err := p.Wait()
	return attach.Result{ExitCode: code}, err
}

// execPipes gives the program pipes, never our own descriptors: what it does to its terminal must not reach ours. It is killed
// when ctx ends.
func (in *Installation) execPipes(ctx context.Context, c *container.Container, cfg engine.ExecConfig, streams *attach.Streams) (int, error) {
	pipes, err := openPipes(streams)
	if err != nil {
		return 0, err
	}
	if err := rootfs.GiveStreams(c.IDs, pipes.theirs[:]...); err != nil {
		pipes.close()
		return 0, err
	}
	p, err := engine.Exec(in.Containers.RunRoot(), c.ID, cfg, engine.Stdio{
		Stdin: pipes.theirs[0], Stdout: pipes.theirs[1], Stderr: pipes.theirs[2],
	})
	if err != nil {
		pipes.close()
		return 0, err
	}
	pipes.relay(streams)
	stop := context.AfterFunc(ctx, func() {
		if p.ID.Alive() { // the leader of a session of its own
			unix.Kill(-p.ID.PID, unix.SIGKILL) //nolint:errcheck // it has just ended
		}
	})
	code, err := p.Wait()
	stop()
	pipes.drained.Wait()
	return code, err
}

func writerOrDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

type pausedError struct{ name string }

func (e *pausedError) Error() string {
	return fmt.Sprintf("container %s is paused, unpause the container before exec", e.name)
}

func (e *pausedError) Unwrap() error { return engine.ErrPaused }
