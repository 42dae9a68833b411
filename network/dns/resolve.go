package dns

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"ctr/network/netns"
)

// Answer is what a container is told.
type Answer struct {
	// Message is the whole reply, as over TCP.
	Message []byte
	// Forwarded says that no container is called so and that another server gave the reply, or that there was none to ask.
	Forwarded bool
	// Network is the name of the network that knows the name; empty for a forwarded answer.
	Network string
	// Containers are those which answer, in the order of the records; one, if the answer is empty.
	Containers []Container
}

// Container is one that answers to a name.
type Container struct {
	ID   string
	Addr netip.Addr // as answered; zero for an answer without addresses
	Name string     // of a reverse question: "name.network."
}

// Resolve asks what a container with the configuration would be told. The name is taken as it is, without a search list. It
// returns an error if no question can be made of the name, or a zone cannot be read; a reply that says NXDOMAIN is no error.
func Resolve(ctx context.Context, c Config, ns *netns.Handle, name string, qtype uint16) (Answer, error) {
	message, err := newQuery(name, qtype)
	if err != nil {
		return Answer{}, err
	}
	s := New(c, ns)
	defer s.closeZones()
	var q query
	var l lookups
	if reply, forward := s.answer(&q, &l, message, nil, maxMessage); forward {
		return Answer{Message: s.forward(ctx, &q, unix.SOCK_STREAM), Forwarded: true}, nil
	} else if reply[3]&maskCode == codeSuccess {
		return s.explain(&q, reply)
	}
	return Answer{}, fmt.Errorf("resolve %q: zones of %d networks cannot be read", name, len(c.Networks))
}

// Known is what a container with the configuration would be told about a name without asking other servers. Its answer has no
// network if no container is called so.
func Known(c Config, name string, qtype uint16) (Answer, error) {
	message, err := newQuery(name, qtype)
	if err != nil {
		return Answer{}, err
	}
	s := New(c, nil)
	defer s.closeZones()
	var q query
	if err := q.parse(message); err != nil {
		return Answer{}, err
	}
	return s.explain(&q, nil)
}

// explain tells who is behind an answer.
func (s *Server) explain(q *query, reply []byte) (Answer, error) {
	f, err := find(s.zones, q, &lookups{})
	a := Answer{Message: reply}
	if err != nil || !f.ours {
		return a, err
	}
	a.Network = f.zone.Name
	for _, e := range f.entries {
		a.Containers = append(a.Containers, Container{ID: e.Owner.ID, Addr: e.Addr})
	}
	if len(f.entries) == 0 {
		a.Containers = []Container{{ID: f.owner.ID}}
		if f.name != "" {
			a.Containers[0].Name = f.name + "." + f.zone.Name + "."
		}
	}
	return a, nil
}

// newQuery makes a message that asks for a name.
func newQuery(name string, qtype uint16) ([]byte, error) {
	m := []byte{0, 0, flagRecursionDesired >> 8, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	if plain := strings.TrimSuffix(name, "."); plain != "" {
		for label := range strings.SplitSeq(plain, ".") {
			if len(label) == 0 || len(label) > 63 {
				return nil, fmt.Errorf("malformed name %q", name)
			}
			m = append(append(m, byte(len(label))), label...)
		}
	}
	m = append(m, 0)
	if len(m)-headerSize > maxNameSize {
		return nil, fmt.Errorf("malformed name %q", name)
	}
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(m, qtype), classIN), nil
}
