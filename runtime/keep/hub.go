package keep

import (
	"os"
	"slices"
	"sync"
	"time"

	"ctr/runtime/attach"
)

// client is one attached looker.
type client struct {
	conn *attach.Conn
	want attach.Request
	// process is the pidfd of a process that keeps the sandbox for as long as it runs; it has no conn.
	process *os.File
	left    chan struct{} // closed when a client that wants a start has gone; nil for others

	mu   sync.Mutex // one frame at a time: stdout and stderr are copied side by side
	gone bool
}

// setReadDeadline ends what waits for the client.
func (c *client) setReadDeadline(t time.Time) {
	if c.process != nil {
		_ = c.process.SetReadDeadline(t)
		return
	}
	_ = c.conn.SetReadDeadline(t)
}

// leave lets the client go.
func (c *client) leave() {
	if c.process != nil {
		c.process.Close()
		return
	}
	c.conn.Close()
}

// sendPatience is how long a client may take nothing of what waits for it. It lets a slow one have all, down to a frame in that
// time, about 1 KiB/s.
var sendPatience = 30 * time.Second

// send sends a frame. Who has gone, or takes nothing, is let go: its reader ends with the connection.
func (c *client) send(k attach.Kind, p []byte) {
	c.sending(func() error { return c.conn.Send(k, p) })
}

func (c *client) sending(send func() error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return
	}
	if c.conn.SetWriteDeadline(time.Now().Add(sendPatience)) != nil || send() != nil {
		c.gone = true
		c.conn.Close()
	}
}

// hub is everybody who is attached. Output waits for the slowest of them: nothing is lost and nothing piles up in memory. Who
// takes nothing for a while, since it was stopped or its terminal was, does not hold the container back for ever (Docker's does).
type hub struct {
	mu      sync.Mutex
	clients []*client // replaced, never changed: a copy may be walked without the lock
	left    *sync.Cond
	over    *attach.Result // how the last program ended, while no other one is to come; nil: one runs, or will
}

func newHub() *hub {
	h := &hub{}
	h.left = sync.NewCond(&h.mu)
	return h
}

// add takes a client. One who wants nothing but a program that has ended it does not take, and returns how that ended.
func (h *hub) add(c *client) (how attach.Result, over bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over != nil && !c.want.Hold && !c.want.Start && !c.want.Leave && !c.want.Change {
		return *h.over, true
	}
	h.clients = append(slices.Clip(h.clients), c)
	return attach.Result{}, false
}

// rest notes how the last program ended; nil: there is another one.
func (h *hub) rest(over *attach.Result) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = over
}

func (h *hub) remove(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var rest []*client
	for _, x := range h.clients {
		if x != c {
			rest = append(rest, x)
		}
	}
	h.clients = rest
	h.left.Broadcast()
}

func (h *hub) all() []*client {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.clients
}

// output sends a piece of a stream to all who want it.
func (h *hub) output(k attach.Kind, p []byte) {
	for _, c := range h.all() {
		if (k == attach.Stdout && c.want.Stdout) || (k == attach.Stderr && c.want.Stderr) {
			c.send(k, p)
		}
	}
}

// exit tells all how the program ended, and lets them go.
func (h *hub) exit(how attach.Result) {
	var told sync.WaitGroup
	for _, c := range h.all() {
		if c.want.Hold {
			continue
		}
		told.Go(func() {
			c.sending(func() error {
				c.gone = true
				return c.conn.SendExit(how)
			})
			c.conn.Close()
		})
	}
	told.Wait()
}

// attached counts those who have or may send something: all but holders.
func (h *hub) attached() int { return len(h.all()) - h.holders() }

// holders counts those who keep the sandbox.
func (h *hub) holders() int {
	n := 0
	for _, c := range h.all() {
		if c.want.Hold {
			n++
		}
	}
	return n
}

// waitHolders returns when nobody keeps the sandbox.
func (h *hub) waitHolders() {
	for {
		h.mu.Lock()
		n := 0
		for _, c := range h.clients {
			if c.want.Hold {
				n++
			}
		}
		if n == 0 {
			h.mu.Unlock()
			return
		}
		h.left.Wait()
		h.mu.Unlock()
	}
}
