package ports

import (
	"context"
	"fmt"
	"net/netip"
	"os"

	"ctr/network/netns"
)

// Protocol is a transport protocol by its name: tcp, udp or sctp.
type Protocol string

// Port is a port to hold on the host.
type Port struct {
	Protocol    Protocol   `json:"protocol"`
	HostIP      netip.Addr `json:"hostIP,omitzero"`       // zero: every address, of both families
	HostPort    uint16     `json:"hostPort"`              // 0: any that is free
	HostPortEnd uint16     `json:"hostPortEnd,omitempty"` // if above HostPort: any free one of this range
}

// Held is a port that is held: Port says which, with HostPort chosen.
type Held struct {
	Port  Port
	Files []*os.File // the sockets: IPv4's, then IPv6's if the host has IPv6
}

// Close gives the port back. Serve must have ended.
func (h *Held) Close() error { return nil }

// InUseError is returned by Hold when somebody else has the port.
type InUseError struct {
	Port    Port
	Process string // the holder's command name, if /proc tells
	PID     int
}

// Error names the address in the words that users of Docker look for, and the holder.
func (e *InUseError) Error() string {
	return fmt.Sprintf("Bind for %s failed: port is already allocated", e.Port.HostIP)
}

// Hold binds all the ports in a network namespace (nil: the process's own), or none: on error nothing stays held.
func Hold(ns *netns.Handle, list []Port) ([]*Held, error) { return nil, nil }

// Serve copies between what reaches the port and the container's address, until the context ends; then it closes the
// port. A connection that the container refuses is reset.
func (h *Held) Serve(ctx context.Context, target netip.AddrPort) error { return nil }
