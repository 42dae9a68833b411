package network

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ctr/internal/durable"
	"ctr/internal/proc"
	"ctr/network/dns"
	"ctr/network/netns"
	"ctr/network/ports"
)

// SandboxSpec is the network side of a container, as asked for. It is pure data.
type SandboxSpec struct {
	ID         string         `json:"id"` // the container's, 64 hexadecimal digits
	Name       string         `json:"name"`
	Hostname   string         `json:"hostname,omitempty"` // empty: the first 12 digits of the ID
	Domainname string         `json:"domainname,omitempty"`
	Endpoints  []EndpointSpec `json:"endpoints,omitempty"` // eth0, eth1, ... in this order
	None       bool           `json:"none,omitempty"`      // nothing but lo
	Ports      []Port         `json:"ports,omitempty"`
	Resolver   ResolverSpec   `json:"resolver"`
	ExtraHosts []ExtraHost    `json:"extraHosts,omitempty"`
	Dir        string         `json:"dir"`    // where resolv.conf, hosts and hostname are written
	Record     string         `json:"record"` // the path of sandbox.json
}

// RecordVersion is the version of sandbox.json that this program writes. It reads all up to this one.
const RecordVersion = 1

// Record is a sandbox as it is: all that Teardown and inspection need. It is the JSON of sandbox.json, and says what is to be
// made before that is made.
type Record struct {
	Version   int         `json:"version"`
	Spec      SandboxSpec `json:"spec"`
	Owner     proc.ID     `json:"owner"`               // the monitor
	LeasedBy  proc.ID     `json:"leasedBy,omitzero"`   // the owner whom the leases were taken for, if another one has succeeded it
	Init      proc.ID     `json:"init,omitzero"`       // the container's first process, once it is announced
	Endpoints []Endpoint  `json:"endpoints,omitempty"` // in the order of the spec
	Ports     []Port      `json:"ports,omitempty"`     // with the host ports that were taken; none without Published
	Published *Published  `json:"published,omitempty"` // where all ports lead; nil: nothing is published
	DNS       *dns.Config `json:"dns,omitempty"`       // nil: the container asks the host's servers itself
	// ResolverPorts are where its sockets are, which rules in the namespace lead to.
	ResolverPorts ResolverPorts `json:"resolverPorts,omitzero"`
	NetnsFD       int           `json:"netnsFD,omitempty"`   // the owner's descriptor of the namespace, to which NetnsName leads
	NetnsName     string        `json:"netnsName,omitempty"` // the entry in Config.NetnsDir, once announced
	// Written has the checksum of hosts as it was written: one that differs belongs to a user.
	Written map[string]string `json:"written,omitempty"`
}

// leaser is the owner whom the leases were taken for.
func (r *Record) leaser() proc.ID {
	if r.LeasedBy != (proc.ID{}) {
		return r.LeasedBy
	}
	return r.Owner
}

// owners are those whom the leases of the sandbox live with. The first is the one by whom they are given back.
func (r *Record) owners() []proc.ID {
	var all []proc.ID
	for _, p := range []proc.ID{r.leaser(), r.Owner, r.Init} {
		if p != (proc.ID{}) && !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

// alive tells whether the sandbox still belongs to somebody.
func (r *Record) alive() bool { return r.Owner.Alive() || r.Init.Alive() }

// ReadRecord reads a sandbox.json. It returns an error that wraps os.ErrNotExist if there is none, and durable.ErrDamaged if
// it cannot be understood.
func ReadRecord(path string) (*Record, error) {
	var r Record
	if err := durable.ReadJSON(path, &r); err != nil {
		return nil, fmt.Errorf("read sandbox: %w", err)
	}
	if r.Version > RecordVersion || r.Spec.ID == "" {
		return nil, fmt.Errorf("read sandbox %q: %w: version %d", path, durable.ErrDamaged, r.Version)
	}
	return &r, nil
}

// write writes the record to its place.
func (r *Record) write() error { return durable.WriteJSON(r.Spec.Record, r, durable.NoFsync) }

// Preserve writes the record anew if somebody has removed or damaged it, so that Teardown finds what there is to remove.
func (s *Sandbox) Preserve() error {
	path := s.Record.Spec.Record
	if _, err := ReadRecord(path); err == nil {
		return nil
	}
	if _, err := os.Lstat(filepath.Dir(path)); errors.Is(err, os.ErrNotExist) {
		return nil // its folder has gone, too
	}
	return errors.Join(os.RemoveAll(path), s.Record.write())
}

// Sandbox is a network namespace that was set up for a container. What is open in it belongs to the caller, which keeps it
// open while the container runs: the namespace and its links end with the last of them and the last process in it.
type Sandbox struct {
	Record *Record
	// NetNS must keep the number of its descriptor for as long as the container runs, across execve(2) too: the name that
	// ip-netns(8) shows leads to it.
	NetNS  *netns.Handle
	DNS    *dns.Config // nil: no resolver is to be served
	DNSUDP *net.UDPConn
	DNSTCP *net.TCPListener
	Ports  []*ports.Held // in the order of those of Record.Ports that are on the host
	// Warnings are lines for the user: what was done otherwise than asked for.
	Warnings []string

	networks *Networks
}

// Close closes what the sandbox holds open. It takes nothing else down: that is Teardown's.
func (s *Sandbox) Close() error {
	var errs []error
	for _, p := range s.Ports {
		errs = append(errs, p.Close())
	}
	if s.DNSUDP != nil {
		errs = append(errs, s.DNSUDP.Close())
	}
	if s.DNSTCP != nil {
		errs = append(errs, s.DNSTCP.Close())
	}
	if s.NetNS != nil {
		errs = append(errs, s.NetNS.Close())
	}
	return errors.Join(errs...)
}

// shortID is the first 12 digits of the container's ID.
func (s SandboxSpec) shortID() string { return s.ID[:min(len(s.ID), 12)] }

// hostname returns the container's host name.
func (s SandboxSpec) hostname() string {
	if s.Hostname != "" {
		return s.Hostname
	}
	return s.shortID()
}

// validate refuses what could not be written in a file of lines, or named a path.
func (s SandboxSpec) validate() error {
	if !isHex(s.ID) {
		return fmt.Errorf("%w: container ID %q", ErrInvalid, s.ID)
	}
	if err := checkName(s.Name); err != nil {
		return err
	}
	words := []string{s.hostname(), s.Domainname}
	words = append(append(words, s.Resolver.Search...), s.Resolver.Options...)
	for _, h := range s.ExtraHosts {
		words = append(words, h.Name)
	}
	for _, e := range s.Endpoints {
		words = append(words, e.Aliases...)
	}
	for _, w := range words {
		if len(w) > 255 || strings.ContainsFunc(w, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return fmt.Errorf("%w: %q has a blank or a control character, or is too long", ErrInvalid, w)
		}
	}
	return CheckPorts(s.Ports)
}

// User is one live endpoint of a network.
type User struct {
	ID       string // the container's
	Name     string
	Endpoint Endpoint
}
