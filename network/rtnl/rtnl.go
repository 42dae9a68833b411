// Package rtnl speaks rtnetlink(7) for package network: links, addresses, routes and forwarding entries of one network
// namespace, through one socket that was made there.
//
// It embeds a handle of vishvananda/netlink for what that does well, and adds what the start of a container needs and it
// lacks: a veth pair in one message, whose answer tells both indices; a look-up of a link by name that does not dump them
// all; dumps that are repeated when the kernel says that they are torn. It owns no path.
package rtnl

import (
	"errors"
	"fmt"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"ctr/network/netns"
)

// ErrNotFound is returned when there is no such link.
var ErrNotFound = errors.New("no such link")

// Conn is a connection to the kernel in one network namespace. Close it: it keeps the namespace.
type Conn struct {
	*netlink.Handle
	socket *nl.NetlinkSocket
	mu     sync.Mutex
	seq    uint32
}

// Dial opens a connection in the namespace.
func Dial(ns *netns.Handle) (*Conn, error) {
	var c *Conn
	err := ns.Do(func() error {
		var err error
		c, err = DialCurrent()
		return err
	})
	return c, err
}

// DialCurrent opens a connection in the namespace of the calling thread.
func DialCurrent() (*Conn, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	// No namespace is named, so that the library locks no thread and enters none.
	s, err := nl.GetNetlinkSocketAt(vnetns.None(), vnetns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	return &Conn{Handle: h, socket: s}, nil
}

// Close closes the connection.
func (c *Conn) Close() {
	c.Handle.Close()
	c.socket.Close()
}

// request sends one message and returns those that answer it. The request must ask for an acknowledgement: unlike the
// library's Execute, which takes the first answer for the last, this reads on until then, so that an error that follows an
// echo is seen.
func (c *Conn) request(req *nl.NetlinkRequest) (answers [][]byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	req.Seq = c.seq
	if err := c.socket.Send(req); err != nil {
		return nil, err
	}
	for {
		msgs, from, err := c.socket.Receive()
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, m := range msgs {
			if from.Pid != nl.PidKernel || m.Header.Seq != req.Seq {
				continue
			}
			if m.Header.Type != unix.NLMSG_ERROR {
				answers = append(answers, m.Data)
				continue
			}
			if code := int32(nl.NativeEndian().Uint32(m.Data)); code != 0 {
				return nil, unix.Errno(-code)
			}
			return answers, nil
		}
	}
}

// Links returns all links.
func (c *Conn) Links() ([]netlink.Link, error) { return whole(c.LinkList) }

// Routes returns the routes of the main table, of both families.
func (c *Conn) Routes() ([]netlink.Route, error) {
	return whole(func() ([]netlink.Route, error) { return c.RouteList(nil, netlink.FAMILY_ALL) })
}

// whole repeats a dump that changed while it was read.
func whole[T any](dump func() ([]T, error)) (all []T, err error) {
	for range 10 {
		all, err = dump()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}
