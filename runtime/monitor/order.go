package monitor

import (
	"context"
	"fmt"

	"ctr/runtime/attach"
	"ctr/runtime/container"
)

// StartAgain has the monitor of a container that has ended, and whose sandbox others use, start it again in that sandbox. It
// returns what Spawn does, and the client that is attached from before the program's first byte of output. If the monitor ends
// instead, since nobody uses the sandbox any more or another start has failed, it returns attach.ErrKeeperGone.
func StartAgain(ctx context.Context, c *container.Container, streams attach.Streams) (*attach.Client, []string, error) {
	conn, err := attach.Dial(c.AttachPath())
	if err != nil {
		return nil, nil, fmt.Errorf("start container %s again: %w: %w", c.Name, attach.ErrKeeperGone, err)
	}
	client, err := attach.NewStarter(conn, streams)
	if err != nil {
		return nil, nil, fmt.Errorf("start container %s again: %w", c.Name, err)
	}
	stop := context.AfterFunc(ctx, func() { client.Close() })
	defer stop()
	answer, _, err := client.AwaitStart()
	if err != nil {
		client.Close()
		return nil, nil, fmt.Errorf("start container %s again: %w", c.Name, err)
	}
	r, err := decodeReply(answer)
	if err == nil {
		err = r.err()
	}
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return client, r.Warnings, nil
}

// Dismiss has the monitor of a container that has ended take its sandbox down, although others use it, and end.
func Dismiss(c *container.Container) error {
	conn, err := attach.Dial(c.AttachPath())
	if err != nil {
		return fmt.Errorf("dismiss monitor of container %s: %w", c.Name, err)
	}
	defer conn.Close()
	return conn.SendJSON(attach.Hello, attach.Request{Version: 1, Leave: true})
}
