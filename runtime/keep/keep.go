package keep

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"

	"ctr/runtime/attach"
)

// Service is something that is served from its descriptors until ctx ends: names, a published port.
type Service func(ctx context.Context) error

// Keeper is what stays the same over all runs of a container: who is attached, who uses its sandbox, what is served in it.
type Keeper struct {
	hub      *hub
	listener *net.UnixListener
	orders   chan Order

	mu      sync.Mutex
	program *Program // nil between runs
	stop    context.CancelFunc
}

// Order is what a client wants of the monitor itself.
type Order struct {
	Request attach.Request // with Start or Leave
	conn    *attach.Conn
}

// Started tells the client that the container runs; it is attached from before the program's first byte of output.
func (o Order) Started(answer []byte) { o.conn.Send(attach.Started, answer) } //nolint:errcheck // it may have gone

// Failed tells the client why it does not, and lets it go.
func (o Order) Failed(answer []byte) {
	o.conn.Send(attach.Failed, answer) //nolint:errcheck // it may have gone
	o.conn.Close()
}

// New takes clients from the listener, which it owns from then on.
func New(listener *net.UnixListener) *Keeper {
	k := &Keeper{hub: newHub(), listener: listener, orders: make(chan Order), stop: func() {}}
	go k.accept()
	return k
}

// Serve starts services. They end with StopServices.
func (k *Keeper) Serve(services []Service) {
	ctx, stop := context.WithCancel(context.Background())
	k.stop = stop
	for _, s := range services {
		go s(ctx) //nolint:errcheck // a service that ends is as good as one whose descriptor is closed
	}
}

// StopServices ends them.
func (k *Keeper) StopServices() { k.stop() }

// Orders is where clients' orders come from. Who does not receive them makes the clients wait.
func (k *Keeper) Orders() <-chan Order { return k.orders }

// Held tells whether another container uses the sandbox, and Released is closed as soon as none does.
func (k *Keeper) Held() bool { return k.hub.holders() > 0 }

// Released returns a channel that is closed as soon as no other container uses the sandbox.
func (k *Keeper) Released() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		k.hub.waitHolders()
		close(done)
	}()
	return done
}

// Exit tells all clients how the program ended, and lets them go, but for those who use the sandbox.
func (k *Keeper) Exit(code int) { k.hub.exit(code) }

// Close takes no more clients, and ends the services.
func (k *Keeper) Close() {
	k.stop()
	k.listener.Close()
}

func (k *Keeper) accept() {
	for {
		c, err := k.listener.AcceptUnix()
		if err != nil {
			return
		}
		go k.Greet(attach.Accepted(c)) //nolint:errcheck // who does not say hello is let go
	}
}

// Greet reads what a client wants, and serves it from then on. It returns when the client's wish is known, so that what comes
// after cannot miss it.
func (k *Keeper) Greet(conn *attach.Conn) error {
	kind, payload, err := conn.Receive()
	if err != nil {
		conn.Close()
		return fmt.Errorf("greet client: %w", err)
	}
	c := &client{conn: conn}
	if err := json.Unmarshal(payload, &c.want); kind != attach.Hello || err != nil {
		conn.Close()
		return fmt.Errorf("client did not say hello, but %q", kind)
	}
	k.hub.add(c)
	if c.want.Start || c.want.Leave {
		k.orders <- Order{Request: c.want, conn: conn}
	}
	go k.serve(c)
	return nil
}

func (k *Keeper) serve(c *client) {
	defer func() {
		k.hub.remove(c)
		c.conn.Close()
		if p := k.running(); p != nil && c.want.Stdin && p.StdinOnce {
			p.stdin.close()
		}
	}()
	for {
		kind, payload, err := c.conn.Receive()
		if err != nil {
			return
		}
		p := k.running()
		if p == nil {
			continue
		}
		switch kind {
		case attach.Stdin:
			if c.want.Stdin {
				p.stdin.write(payload)
			}
		case attach.StdinEOF:
			if c.want.Stdin && p.StdinOnce {
				p.stdin.close()
			}
		case attach.Resize:
			if size, ok := attach.DecodeSize(payload); ok && p.Pty != nil {
				attach.SetSize(p.Pty, size) //nolint:errcheck // the program has gone
			}
		}
	}
}

func (k *Keeper) running() *Program {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.program
}
