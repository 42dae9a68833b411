package dns

import "net/netip"

// Config is what a container's resolver knows. It is pure data and part of the JSON of the container's records.
type Config struct {
	// Networks are those that the container is on, in the order in which they are asked.
	Networks []Network `json:"networks,omitempty"`
	// ResolvConf is the path of the host's resolv.conf. It is followed as it changes, and the servers in it are asked from
	// the network namespace of the serving process. Empty: none.
	ResolvConf string `json:"resolvConf,omitempty"`
	// Servers take the place of those in ResolvConf. They are asked from the container's network namespace.
	Servers []netip.AddrPort `json:"servers,omitempty"`
	// Internal says that the container may not reach the outside: nothing is asked from the host for it. Servers still are,
	// since the container itself could ask them too.
	Internal bool `json:"internal,omitempty"`
	// NdotsSet says that the user chose ndots: an unknown name of one label is then left to the container's search list.
	NdotsSet bool `json:"ndotsSet,omitempty"`
}

// Network is one network's zone.
type Network struct {
	Name string `json:"name"` // as in "db.<name>"
	Zone string `json:"zone"` // folder of its names.Zone
	TTL  uint32 `json:"ttl"`  // seconds; 0 means that answers are not to be kept at all; five are usual
}
