package network

import (
	"net/netip"
	"time"
)

// SpecVersion is the version of network.json that this program writes. It reads all up to this one.
const SpecVersion = 1

// Spec is a network: what the user asked for, with what was chosen for them at creation. It is pure data and the JSON of
// network.json.
type Spec struct {
	Version  int       `json:"version"`
	ID       string    `json:"id"` // 64 hexadecimal digits
	Name     string    `json:"name"`
	Driver   string    `json:"driver"` // bridge, host, none, macvlan, ipvlan
	Created  time.Time `json:"created"`
	IPv4     bool      `json:"ipv4"`
	IPv6     bool      `json:"ipv6"`
	Internal bool      `json:"internal,omitempty"`
	// Attachable is kept for inspection: every container may attach to every network.
	Attachable bool              `json:"attachable,omitempty"`
	ConfigOnly bool              `json:"configOnly,omitempty"` // lends its settings to others, and is none itself
	ConfigFrom string            `json:"configFrom,omitempty"` // the name of the configuration that it was made from
	Subnets    []Subnet          `json:"subnets,omitempty"`    // IPv4 first
	Labels     map[string]string `json:"labels,omitempty"`
	Options    map[string]string `json:"options,omitempty"` // Docker's keys and ours, as given
	// Bridge is the name of the bridge device, for the bridge driver.
	Bridge string `json:"bridge,omitempty"`
}

// Subnet is one range of addresses of a network.
type Subnet struct {
	Prefix    netip.Prefix          `json:"prefix"`
	Range     netip.Prefix          `json:"range,omitzero"` // addresses are given from here only; zero: all of Prefix
	Gateway   netip.Addr            `json:"gateway,omitzero"`
	Auxiliary map[string]netip.Addr `json:"auxiliary,omitempty"` // never given to a container
}

// EndpointSpec is one container's presence on one network, as asked for.
type EndpointSpec struct {
	Network    string            `json:"network"`        // the network's ID
	Name       string            `json:"name,omitempty"` // the network's, by which it is found when it was made anew
	IPv4       netip.Addr        `json:"ipv4,omitzero"`
	IPv6       netip.Addr        `json:"ipv6,omitzero"`
	MAC        string            `json:"mac,omitempty"`
	Aliases    []string          `json:"aliases,omitempty"`
	GwPriority int               `json:"gwPriority,omitempty"`
	Interface  string            `json:"interface,omitempty"` // empty: eth<n>
	DriverOpts map[string]string `json:"driverOpts,omitempty"`
}

// On tells whether the endpoint is on a network, or on one of the same name that has gone: names are never changed.
func (e EndpointSpec) On(s Spec) bool { return e.Network == s.ID || e.Name != "" && e.Name == s.Name }

// Endpoint is one container's presence on one network, as it is while the container runs.
type Endpoint struct {
	ID        string       `json:"id"` // 64 hexadecimal digits, new at each start
	Network   string       `json:"network"`
	Name      string       `json:"name"`      // the network's name
	Interface string       `json:"interface"` // in the container
	HostSide  string       `json:"hostSide,omitempty"`
	HostIndex int          `json:"hostIndex,omitempty"`
	Bridge    string       `json:"bridge,omitempty"` // that HostSide is a port of
	MAC       string       `json:"mac,omitempty"`
	IPv4      netip.Prefix `json:"ipv4,omitzero"` // address and length of its subnet
	IPv6      netip.Prefix `json:"ipv6,omitzero"`
	Gateway4  netip.Addr   `json:"gateway4,omitzero"`
	Gateway6  netip.Addr   `json:"gateway6,omitzero"`
	DNSNames  []string     `json:"dnsNames,omitempty"` // the first one answers PTR
}

// Protocol is a transport protocol that ports belong to.
type Protocol string

// The protocols that can be published.
const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	SCTP Protocol = "sctp"
)

// Expose is a port that a container listens on, by its image's or the user's word.
type Expose struct {
	Protocol Protocol `json:"protocol"`
	Port     uint16   `json:"port"`
}

// Port is one published port. In a spec HostPort may be 0 or the start of a range; in a record it is the one that was taken.
type Port struct {
	Protocol      Protocol   `json:"protocol"`
	HostIP        netip.Addr `json:"hostIP,omitzero"`       // zero: every address, of both families
	HostPort      uint16     `json:"hostPort,omitempty"`    // 0: one that is free, chosen at each start
	HostPortEnd   uint16     `json:"hostPortEnd,omitempty"` // if above HostPort: any free one of this range
	ContainerPort uint16     `json:"containerPort"`
}

// Expose returns the container's side of a published port.
func (p Port) Expose() Expose { return Expose{Protocol: p.Protocol, Port: p.ContainerPort} }

// ResolverSpec is what a container's user asked of name resolution.
type ResolverSpec struct {
	Servers []netip.Addr `json:"servers,omitempty"` // --dns
	Search  []string     `json:"search,omitempty"`  // --dns-search; "." alone: none
	Options []string     `json:"options,omitempty"` // --dns-option
}

// ExtraHost is one line more in /etc/hosts.
type ExtraHost struct {
	Name string     `json:"name"`
	IP   netip.Addr `json:"ip,omitzero"` // zero: host-gateway
}
