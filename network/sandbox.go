package network

import (
	"ctr/internal/proc"
	"ctr/network/netns"
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

// Record is a sandbox as it is: all that Teardown and inspection need. It is the JSON of sandbox.json, and is written
// before what it names is made.
type Record struct {
	Version   int         `json:"version"`
	Spec      SandboxSpec `json:"spec"`
	Owner     proc.ID     `json:"owner"`               // the monitor
	Init      proc.ID     `json:"init,omitzero"`       // the container's first process, once it is announced
	Endpoints []Endpoint  `json:"endpoints"`           // in the order of the spec
	Ports     []Port      `json:"ports,omitempty"`     // with the host ports that were taken
	NetnsFD   int         `json:"netnsFD"`             // the owner's descriptor of the namespace, for the link in NetnsDir
	NetnsName string      `json:"netnsName,omitempty"` // the entry in NetnsDir, once announced
}

// Sandbox is a network namespace that was set up for a container. The caller owns what is open in it.
type Sandbox struct {
	Record *Record
	NetNS  *netns.Handle
	// Warnings are lines for the user: what was done otherwise than asked for.
	Warnings []string

	networks *Networks
}

// User is one live endpoint of a network.
type User struct {
	ID       string // the container's
	Name     string
	Endpoint Endpoint
}
