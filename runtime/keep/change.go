package keep

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"ctr/network/dns"
	"ctr/network/ports"
	"ctr/runtime/attach"
)

// part is the payload of a Change frame. All of them together say what is served from now on: ports that the keeper holds
// already are named, new ones come with their sockets.
type part struct {
	Part int  `json:"part"` // 0, 1, ...
	Last bool `json:"last,omitempty"`
	// DNS is the resolver's configuration; nil leaves it as it is.
	DNS *dns.Config `json:"dns,omitempty"`
	// Sockets says that the first two descriptors are the resolver's, UDP and TCP.
	Sockets  bool          `json:"sockets,omitempty"`
	Forwards []partForward `json:"forwards,omitempty"`
}

type partForward struct {
	Port    ports.Port       `json:"port"`
	Targets []netip.AddrPort `json:"targets"`
	Files   int              `json:"files,omitempty"` // how many of the descriptors are its sockets; 0: the keeper has them
}

// partForwards is how many ports one frame tells of: two sockets each.
const partForwards = 64

// changeTimeout is how long a keeper may take to do as it is told. One of an older ctr never answers.
const changeTimeout = 10 * time.Second

// Change has the keeper that listens at the path serve these services from now on, in the same namespace. A held port without
// files is one that the keeper has; files and sockets stay the caller's, who may close them afterwards. It returns
// attach.ErrKeeperGone if the keeper ends.
func Change(path string, s Services) error {
	parts, files, err := s.parts()
	if err != nil {
		return err
	}
	defer closeAll(files[0][:socketsOf(parts[0])])
	for range 3 {
		// A connection that is made at the moment in which the keeper becomes another program is lost, and made again.
		if err = sendChange(path, parts, files); !errors.Is(err, attach.ErrKeeperGone) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("change what the monitor serves: %w", err)
	}
	return nil
}

func socketsOf(p part) int {
	if p.Sockets {
		return 2
	}
	return 0
}

// parts cuts services into frames.
func (s Services) parts() (parts []part, files [][]*os.File, err error) {
	first := part{DNS: s.DNS}
	var sockets []*os.File
	if s.UDP != nil && s.TCP != nil {
		first.Sockets = true
		udp, err := s.UDP.File() // a copy
		if err != nil {
			return nil, nil, err
		}
		tcp, err := s.TCP.File()
		if err != nil {
			udp.Close()
			return nil, nil, err
		}
		sockets = []*os.File{udp, tcp}
	}
	parts, files = []part{first}, [][]*os.File{sockets}
	for some := range slices.Chunk(s.Forwards, partForwards) {
		p := part{Part: len(parts)}
		var with []*os.File
		for _, f := range some {
			p.Forwards = append(p.Forwards, partForward{f.Held.Port, f.Targets, len(f.Held.Files)})
			with = append(with, f.Held.Files...)
		}
		parts, files = append(parts, p), append(files, with)
	}
	parts[len(parts)-1].Last = true
	return parts, files, nil
}

// sendChange tries once.
func sendChange(path string, parts []part, files [][]*os.File) error {
	conn, err := attach.Dial(path)
	if err != nil {
		return fmt.Errorf("%w: %w", attach.ErrKeeperGone, err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(changeTimeout)); err != nil {
		return err
	}
	err = conn.SendJSON(attach.Hello, attach.Request{Version: attach.Version, Change: true})
	for i := 0; err == nil && i < len(parts); i++ {
		var text []byte
		if text, err = json.Marshal(parts[i]); err != nil {
			return err
		}
		err = conn.SendFiles(attach.Change, text, files[i])
	}
	if err != nil {
		return fmt.Errorf("%w: %w", attach.ErrKeeperGone, err)
	}
	for {
		kind, payload, err := conn.Receive()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return errors.New("no answer: it is busy, or belongs to an older version of ctr")
		case err != nil:
			return fmt.Errorf("%w: %w", attach.ErrKeeperGone, err)
		case kind == attach.Changed:
			return nil
		case kind == attach.Failed:
			return errors.New(string(payload))
		case kind == attach.Exit:
			return attach.ErrKeeperGone
		}
	}
}

// changing is what a client has told so far.
type changing struct {
	next  Services
	held  map[ports.Port]*ports.Held // what the keeper had when it began
	taken []*ports.Held              // that came with it
	parts int
	err   error
}

// serveChanges takes a client's Change frames until it leaves, or the keeper is suspended.
func (k *Keeper) serveChanges(c *client) {
	var now changing
	for {
		kind, payload, files, err := c.conn.ReceiveFiles()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			now.drop()
			return
		}
		if err != nil {
			k.hangUp(c, &now)
			return
		}
		if kind != attach.Change {
			closeAll(files)
			continue
		}
		if now.held == nil {
			now.held = k.Services().byPort()
		}
		last, err := now.take(payload, files)
		if errors.Is(err, errPartMissing) {
			k.hangUp(c, &now)
			return
		}
		if err != nil {
			now.err = errors.Join(now.err, err)
		}
		if !last {
			continue
		}
		if now.err == nil {
			now.err = k.change(now.next)
		}
		if errors.Is(now.err, ports.ErrEnded) {
			k.hangUp(c, &now)
			return
		}
		if now.err != nil {
			now.drop()
			c.send(attach.Failed, []byte(now.err.Error()))
		} else {
			c.send(attach.Changed, nil)
		}
		now = changing{}
	}
}

// errPartMissing is why a change cannot be made of which the keeper that was here before has heard the beginning.
var errPartMissing = errors.New("a part of a change is missing")

// hangUp lets a client go whose change has not been made. It tries again (Change), and finds the keeper that comes next.
func (k *Keeper) hangUp(c *client, unfinished *changing) {
	unfinished.drop()
	k.hub.remove(c)
	c.conn.Close()
}

// change changes what is served.
func (k *Keeper) change(next Services) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.services == nil {
		return errors.New("nothing is served in this sandbox")
	}
	before := k.services.byPort()
	if err := k.services.change(next); err != nil {
		return err
	}
	for _, held := range k.services.Held() {
		delete(before, held.Port)
	}
	less := len(before) > 0
	select {
	case earlier := <-k.changed:
		less = less || earlier
	default:
	}
	k.changed <- less // nobody else sends
	return nil
}

// take adds one frame, whose files it owns, to what is to be served.
func (c *changing) take(payload []byte, files []*os.File) (last bool, err error) {
	defer func() { closeAll(files) }()
	var p part
	if err := json.Unmarshal(payload, &p); err != nil {
		return true, fmt.Errorf("malformed change: %w", err)
	}
	if p.Part != c.parts {
		return p.Last, errPartMissing
	}
	c.parts++
	if p.DNS != nil {
		c.next.DNS = p.DNS
	}
	if p.Sockets {
		if len(files) < 2 {
			return p.Last, errors.New("malformed change: sockets are missing")
		}
		if err := c.takeSockets(files[0], files[1]); err != nil {
			return p.Last, err
		}
		closeAll(files[:2])
		files = files[2:]
	}
	for _, f := range p.Forwards {
		if f.Files < 0 || f.Files > len(files) {
			return p.Last, errors.New("malformed change: descriptors are missing")
		}
		forward := ports.Forward{Held: &ports.Held{Port: f.Port, Files: files[:f.Files:f.Files]}, Targets: f.Targets}
		files = files[f.Files:]
		if f.Files == 0 {
			var ok bool
			if forward.Held, ok = c.held[f.Port]; !ok {
				return p.Last, fmt.Errorf("port %s/%s is not held", f.Port, f.Port.Protocol)
			}
		} else {
			c.taken = append(c.taken, forward.Held)
		}
		c.next.Forwards = append(c.next.Forwards, forward)
	}
	return p.Last, nil
}

// takeSockets makes the resolver's sockets of copies of the files.
func (c *changing) takeSockets(udp, tcp *os.File) error {
	packets, err := net.FilePacketConn(udp)
	if err != nil {
		return err
	}
	listener, err := net.FileListener(tcp)
	if err != nil {
		packets.Close()
		return err
	}
	var ok1, ok2 bool
	c.next.UDP, ok1 = packets.(*net.UDPConn)
	c.next.TCP, ok2 = listener.(*net.TCPListener)
	if !ok1 || !ok2 {
		packets.Close()
		listener.Close()
		c.next.UDP, c.next.TCP = nil, nil
		return errors.New("malformed change: the resolver's sockets are of another kind")
	}
	return nil
}

// drop closes what came with a change that is not made.
func (c *changing) drop() {
	for _, held := range c.taken {
		held.Close()
	}
	if c.next.UDP != nil {
		c.next.UDP.Close()
	}
	if c.next.TCP != nil {
		c.next.TCP.Close()
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
