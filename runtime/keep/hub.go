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

func (c *client) send(k attach.Kind, p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gone && c.conn.Send(k, p) != nil {
		c.gone = true
	}
}

// hub is everybody who is attached. Output waits for the slowest of them, as it would for a terminal that was stopped: nothing
// is lost and nothing piles up in memory. Who wants neither leaves.
type hub struct {
	mu      sync.Mutex
	clients []*client // replaced, never changed: a copy may be walked without the lock
	left    *sync.Cond
}

func newHub() *hub {
	h := &hub{}
	h.left = sync.NewCond(&h.mu)
	return h
}

func (h *hub) add(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients = append(slices.Clip(h.clients), c)
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
func (h *hub) exit(code int) {
	for _, c := range h.all() {
		if c.want.Hold {
			continue
		}
		c.mu.Lock()
		if !c.gone {
			_ = c.conn.SendExit(code) // who has gone asks nobody
			c.gone = true
		}
		c.mu.Unlock()
		c.conn.Close()
	}
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
