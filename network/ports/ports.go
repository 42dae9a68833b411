package ports

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
)

// Protocol is a transport protocol by its name.
type Protocol string

// The protocols that can be held.
const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	SCTP Protocol = "sctp" // held, but not proxied: see the package comment
)

// ErrUnsupported is returned for a protocol that cannot be held: one that we do not know, or sctp on a kernel without it.
var ErrUnsupported = errors.New("cannot be published")

// Port is a port to hold on the host.
type Port struct {
	Protocol Protocol `json:"protocol"`
	// HostIP is the address of the host; zero is every address of both families, 0.0.0.0 and :: are those of one.
	HostIP      netip.Addr `json:"hostIP,omitzero"`
	HostPort    uint16     `json:"hostPort"`              // 0: any that is free
	HostPortEnd uint16     `json:"hostPortEnd,omitempty"` // if above HostPort: any free one of this range
}

// String returns the port as Docker writes it: 0.0.0.0:8080.
func (p Port) String() string {
	host := p.HostIP
	if !host.IsValid() {
		host = netip.IPv4Unspecified()
	}
	address := netip.AddrPortFrom(host, p.HostPort).String()
	if p.HostPortEnd > p.HostPort {
		address += fmt.Sprintf("-%d", p.HostPortEnd)
	}
	return address
}

// Held is a port that is held.
type Held struct {
	Port Port // with the HostPort that was taken, and no range
	// Files are the sockets: IPv4's, then IPv6's, whichever of the two the port has.
	Files []*os.File

	clients atomic.Int32 // TCP connections and UDP flows that Serve relays
}

// Busy tells whether Serve relays something for the port now, which would break if it ended.
func (h *Held) Busy() bool { return h.clients.Load() > 0 }

// Close gives the port back, once no other process has its sockets. Serve must have ended.
func (h *Held) Close() error {
	var err error
	for _, f := range h.Files {
		err = errors.Join(err, f.Close())
	}
	h.Files = nil
	return err
}

// InUseError is returned by Hold when somebody else has the port, or every port of a range.
type InUseError struct {
	Port    Port
	Process string // the holder's command name, empty if /proc does not tell
	PID     int
}

// Error names the address in the words that users of Docker look for, and the holder.
func (e *InUseError) Error() string {
	text := fmt.Sprintf("Bind for %s failed: port is already allocated", e.Port)
	if e.PID == 0 {
		return text
	}
	host := e.Port.HostIP
	if !host.IsValid() {
		host = netip.IPv4Unspecified()
	}
	return fmt.Sprintf("%s: port %d/%s on %s is in use by %s (pid %d)",
		text, e.Port.HostPort, e.Port.Protocol, host, e.Process, e.PID)
}
