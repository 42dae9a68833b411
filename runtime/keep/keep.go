package keep

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"ctr/runtime/attach"
)

// Keeper is what stays the same over all runs of a container: who is attached, who uses its sandbox, what is served in it.
type Keeper struct {
	hub      *hub
	listener *net.UnixListener
	orders   chan Order
	doors    sync.WaitGroup // where clients come in, and those who have not said what they want
	loops    sync.WaitGroup // that serve clients
	changed  chan bool      // holds what Changed has not been asked for yet

	mu       sync.Mutex
	unheard  map[*attach.Conn]bool // who is at the door
	program  *Program              // nil between runs
	runs     chan struct{}         // closed while a program runs
	services *serving              // nil: none
}

// Order is what a client wants of the monitor itself.
type Order struct {
	Request attach.Request // with Start or Leave
	conn    *attach.Conn
}

// Started tells the client that the container runs; it is attached from before the program's first byte of output.
func (o Order) Started(answer []byte) { _ = o.conn.Send(attach.Started, answer) }

// Failed tells the client why it does not, and lets it go.
func (o Order) Failed(answer []byte) {
	_ = o.conn.Send(attach.Failed, answer)
	o.conn.Close()
}

// New takes clients from the listener, which it owns from then on.
func New(listener *net.UnixListener) *Keeper {
	k := newKeeper(listener)
	k.doors.Go(k.accept)
	return k
}

func newKeeper(listener *net.UnixListener) *Keeper {
	return &Keeper{hub: newHub(), listener: listener, orders: make(chan Order), changed: make(chan bool, 1), unheard: map[*attach.Conn]bool{}, runs: make(chan struct{})}
}

// Serve starts services, which the keeper owns from then on. They end with StopServices.
func (k *Keeper) Serve(s Services) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.services = s.serve()
}

// Services returns what is served.
func (k *Keeper) Services() Services {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.services == nil {
		return Services{}
	}
	return k.services.Services
}

// StopServices ends them.
func (k *Keeper) StopServices() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.services != nil {
		k.services.end()
		k.services = nil
	}
}

// Orders is where clients' orders come from. Who does not receive them makes the clients wait.
func (k *Keeper) Orders() <-chan Order { return k.orders }

// Changed tells of changes of what is served, and whether any of it was given back.
func (k *Keeper) Changed() <-chan bool { return k.changed }

// Held tells whether another container uses the sandbox.
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
func (k *Keeper) Exit(how attach.Result) { k.hub.exit(how) }

// Rest is Exit before a time without a program: until the next Run it tells those who come as well. Who waits for an end cannot know
// whether he was heard before it.
func (k *Keeper) Rest(how attach.Result) {
	k.hub.rest(&how)
	k.hub.exit(how)
}

// Close takes no more clients, and ends the services.
func (k *Keeper) Close() {
	k.StopServices()
	k.listener.Close()
}

func (k *Keeper) accept() {
	for {
		accepted, err := k.listener.AcceptUnix()
		if err != nil {
			return
		}
		conn := attach.Accepted(accepted)
		k.mu.Lock()
		k.unheard[conn] = true
		_ = conn.SetReadDeadline(time.Now().Add(greetTimeout))
		k.mu.Unlock()
		k.doors.Add(1)
		k.loops.Go(func() {
			c, _ := k.hear(conn) // who does not say hello is let go
			k.mu.Lock()
			delete(k.unheard, conn)
			k.mu.Unlock()
			k.doors.Done()
			if c != nil {
				k.serve(c)
			}
		})
	}
}

// greetTimeout is how long a client may take to say what it wants, and greetPatience how long if the keeper is to be suspended.
const (
	greetTimeout  = 10 * time.Second
	greetPatience = 200 * time.Millisecond
)

// closeDoors takes no more clients. Those who have come are heard out, or let go.
func (k *Keeper) closeDoors() {
	_ = k.listener.SetDeadline(past)
	k.mu.Lock()
	for conn := range k.unheard {
		_ = conn.SetReadDeadline(time.Now().Add(greetPatience))
	}
	k.mu.Unlock()
	k.doors.Wait()
}

// openDoors takes clients again.
func (k *Keeper) openDoors() {
	_ = k.listener.SetDeadline(time.Time{})
	k.doors.Go(k.accept)
}

// Greet reads what a client wants, and serves it from then on. It returns with the client's wish, so that what comes after cannot
// miss it.
func (k *Keeper) Greet(conn *attach.Conn) (attach.Request, error) {
	_ = conn.SetReadDeadline(time.Now().Add(greetTimeout))
	c, err := k.hear(conn)
	if err != nil {
		return attach.Request{}, err
	}
	if c == nil {
		return attach.Request{}, errors.New("greet client: its program has ended")
	}
	k.loops.Go(func() { k.serve(c) })
	return c.want, nil
}

// hear reads what a client wants, and takes it. It returns nil if there is nothing to serve: the client has been told.
func (k *Keeper) hear(conn *attach.Conn) (*client, error) {
	kind, payload, err := conn.Receive()
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("greet client: %w", err)
	}
	_ = conn.SetReadDeadline(time.Time{})
	c := &client{conn: conn}
	if err := json.Unmarshal(payload, &c.want); kind != attach.Hello || err != nil {
		conn.Close()
		return nil, fmt.Errorf("client did not say hello, but %q", kind)
	}
	if how, over := k.hub.add(c); over {
		_ = conn.SendExit(how) // the connection is new, and has room for it
		conn.Close()
		return nil, nil
	}
	if c.want.Start || c.want.Leave {
		if c.want.Start {
			c.left = make(chan struct{})
		}
		go k.offer(c)
	}
	return c, nil
}

// offer hands the monitor what a client orders, which it takes when no program runs. Who wants a start gets it as well when another
// client was faster: the program runs, and the client is attached to it. Who has left wants nothing.
func (k *Keeper) offer(c *client) {
	o := Order{Request: c.want, conn: c.conn}
	var runs chan struct{} // never, for other orders
	if c.want.Start {
		k.mu.Lock()
		runs = k.runs
		k.mu.Unlock()
	}
	select {
	case k.orders <- o:
	case <-runs:
		o.Started([]byte("{}"))
	case <-c.left:
	}
}

// serve takes a client's frames until it leaves, or the keeper is suspended.
func (k *Keeper) serve(c *client) {
	switch {
	case c.process != nil:
		k.serveProcess(c)
		return
	case c.want.Change:
		k.serveChanges(c)
		return
	}
	for {
		kind, payload, err := c.conn.Receive()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		p := k.running()
		if err != nil {
			k.hub.remove(c)
			c.conn.Close()
			if c.left != nil {
				close(c.left)
			}
			if p != nil && c.want.Stdin && p.StdinOnce {
				p.stdin.close()
			}
			return
		}
		if p != nil {
			p.take(c, kind, payload)
		}
	}
}

func (k *Keeper) running() *Program {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.program
}
