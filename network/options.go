package network

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"ctr/network/resolvconf"
)

// The options of a network: Docker's keys, and ours without a prefix.
const (
	OptBridgeName  = "com.docker.network.bridge.name"
	OptICC         = "com.docker.network.bridge.enable_icc"
	OptMasquerade  = "com.docker.network.bridge.enable_ip_masquerade"
	OptHostBinding = "com.docker.network.bridge.host_binding_ipv4"
	OptMTU         = "com.docker.network.driver.mtu"
	OptInhibitIPv4 = "com.docker.network.bridge.inhibit_ipv4"      // the bridge has no IPv4 address: the gateway is somebody else
	OptGateway4    = "com.docker.network.bridge.gateway_mode_ipv4" // nat (the default), nat-unprotected, routed, isolated
	OptGateway6    = "com.docker.network.bridge.gateway_mode_ipv6"
	OptTrusted     = "com.docker.network.bridge.trusted_host_interfaces" // links, with colons between
	OptIPv4        = "com.docker.network.enable_ipv4"                    // as Spec.IPv4, which is what counts
	OptIPv6        = "com.docker.network.enable_ipv6"
	OptIfacePrefix = "com.docker.network.container_iface_prefix"
	OptParent      = "parent"       // macvlan, ipvlan: the host's link, or eth0.20 for a VLAN of it
	OptMacvlanMode = "macvlan_mode" // bridge (the default), private, vepa, passthru
	OptIPvlanMode  = "ipvlan_mode"  // l2 (the default), l3, l3s
	OptIPvlanFlag  = "ipvlan_flag"  // bridge (the default), private, vepa: who reaches whom, as in a macvlan
	OptDNSTTL      = "dns.ttl"      // seconds that answers about containers may be kept
	OptDNSServers  = "dns.servers"  // addresses, with commas between: as --dns for each container without its own
	OptDNSSearch   = "dns.search"   // domains, with commas between: as --dns-search
)

// optionDrivers are the drivers that an option is for, where it is not for all.
var optionDrivers = map[string][]string{
	OptBridgeName: {"bridge"}, OptICC: {"bridge"}, OptMasquerade: {"bridge"}, OptHostBinding: {"bridge"},
	OptInhibitIPv4: {"bridge"}, OptGateway4: {"bridge"}, OptGateway6: {"bridge"}, OptTrusted: {"bridge"},
	OptParent: {"macvlan", "ipvlan"}, OptMacvlanMode: {"macvlan"}, OptIPvlanMode: {"ipvlan"}, OptIPvlanFlag: {"ipvlan"},
}

// defaultTTL is how long an answer about a container may be kept, in seconds. Docker's 600 makes clients that cache talk to
// addresses of containers that are long gone.
const defaultTTL = 5

// options are a network's options, read.
type options struct {
	noICC        bool
	noMasquerade bool
	hostBinding  netip.Addr
	inhibit4     bool
	gateway4     string
	gateway6     string
	trusted      []string
	mtu          int
	ifacePrefix  string
	parent       string
	mode         string
	flag         string // of an ipvlan
	ttl          uint32
	servers      []netip.Addr
	search       []string
}

// options reads the options of a network. A key that looks like Docker's or like one of ours and is none of those above is
// refused: what it asks for would silently not happen.
func (s Spec) options() (o options, err error) {
	o.ifacePrefix, o.ttl = "eth", defaultTTL
	for key, value := range s.Options {
		switch key {
		case OptBridgeName:
			err = checkInterfaceName(value)
		case OptICC:
			o.noICC, err = parseDisabled(value)
		case OptMasquerade:
			o.noMasquerade, err = parseDisabled(value)
		case OptHostBinding:
			if o.hostBinding, err = netip.ParseAddr(value); err != nil || !o.hostBinding.Is4() {
				err = errors.New("want an IPv4 address of this host")
			}
		case OptInhibitIPv4:
			o.inhibit4, err = parseBool(value)
		case OptGateway4:
			o.gateway4, err = value, checkGatewayMode(value)
		case OptGateway6:
			o.gateway6, err = value, checkGatewayMode(value)
		case OptTrusted:
			o.trusted, err = parseLinks(value)
		case OptIPv4, OptIPv6:
			_, err = parseBool(value)
		case OptMTU:
			o.mtu, err = parseMTU(value)
		case OptIfacePrefix:
			if o.ifacePrefix, err = value, checkInterfaceName(value+"0"); value == "" {
				err = errors.New("want the beginning of the names of interfaces")
			}
		case OptParent:
			o.parent, err = value, checkInterfaceName(value)
		case OptMacvlanMode, OptIPvlanMode:
			o.mode = value
		case OptIPvlanFlag:
			if _, known := ipvlanFlags[value]; !known {
				err = errors.New("want bridge, private or vepa")
			}
			o.flag = value
		case OptDNSTTL:
			var n uint64
			if n, err = strconv.ParseUint(value, 10, 31); err != nil {
				err = errors.New("want a number of seconds")
			}
			o.ttl = uint32(n)
		case OptDNSServers:
			o.servers, err = parseServers(value)
		case OptDNSSearch:
			o.search, err = parseSearch(value)
		default:
			if strings.HasPrefix(key, "com.docker.network.") || strings.HasPrefix(key, "dns.") {
				return o, fmt.Errorf("%w: network option %q is %w", ErrInvalid, key, ErrUnsupported)
			}
		}
		if err != nil {
			return o, fmt.Errorf("%w %s=%q: %w", ErrInvalid, key, value, err)
		}
	}
	return o, nil
}

func parseBool(s string) (bool, error) {
	b, err := strconv.ParseBool(s)
	if err != nil {
		err = errors.New("want true or false")
	}
	return b, err
}

// parseDisabled reads a boolean whose default is true.
func parseDisabled(s string) (bool, error) {
	b, err := parseBool(s)
	return !b, err
}

// The gateway modes: what a bridge is for its containers of one family.
const (
	gatewayNAT         = "nat"             // outside knows them by the host's addresses
	gatewayUnprotected = "nat-unprotected" // and reaches them at their own as well, at any port
	gatewayRouted      = "routed"          // outside knows them by their own, and reaches the ports that are published
	gatewayIsolated    = "isolated"        // the bridge has no address
)

func checkGatewayMode(s string) error {
	if slices.Contains([]string{gatewayNAT, gatewayUnprotected, gatewayRouted, gatewayIsolated}, s) {
		return nil
	}
	return errors.New("want nat, nat-unprotected, routed or isolated")
}

// gateway returns the gateway mode of a family.
func (o options) gateway(six bool) string {
	if six {
		return cmp.Or(o.gateway6, gatewayNAT)
	}
	return cmp.Or(o.gateway4, gatewayNAT)
}

// parseLinks reads names of links, and leaves out what is said again.
func parseLinks(s string) ([]string, error) {
	var all []string
	for name := range strings.SplitSeq(s, ":") { // which, unlike a comma, is in no name
		if err := checkInterfaceName(name); err != nil {
			return nil, fmt.Errorf("want names of interfaces with colons between: %q is %w", name, err)
		}
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all, nil
}

// parseServers reads the name servers of a network's containers.
func parseServers(s string) ([]netip.Addr, error) {
	var all []netip.Addr
	for word := range strings.SplitSeq(s, ",") {
		a, err := netip.ParseAddr(strings.TrimSpace(word))
		switch a = a.Unmap(); {
		case err != nil:
			return nil, errors.New("want IP addresses of name servers, with commas between")
		case a.IsLoopback() || a.IsUnspecified():
			return nil, fmt.Errorf("%s is each container itself: want addresses that containers reach", a)
		}
		all = append(all, a)
	}
	return all, nil
}

// parseSearch reads the search domains of a network's containers.
func parseSearch(s string) ([]string, error) {
	var all []string
	for word := range strings.SplitSeq(s, ",") {
		domain := strings.TrimSpace(word)
		if !resolvconf.ValidDomain(domain) {
			return nil, errors.New("want domains, with commas between")
		}
		all = append(all, domain)
	}
	return all, nil
}

// parseMTU reads an MTU: at least what IPv4 needs (RFC 791), at most what fits a veth.
func parseMTU(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n != 0 && (n < 68 || n > 65535) {
		err = errors.New("out of range 68..65535")
	}
	return n, err
}

// checkInterfaceName refuses what the kernel would refuse as the name of a link (dev_valid_name), and '%', which it would
// replace by a number.
func checkInterfaceName(s string) error {
	if s == "" || len(s) > 15 || s == "." || s == ".." || strings.ContainsAny(s, "/:% \t\n\r\v\f\x00") {
		return fmt.Errorf("not the name of an interface: want 1 to 15 characters, none of them a blank, '/', ':' or '%%'")
	}
	return nil
}

// maxName leaves room in the 255 bytes of a file's name for what is added to it.
const maxName = 128

// checkName refuses names that could be mistaken for a path, an option or an address.
func checkName(s string) error {
	if len(s) > maxName {
		return fmt.Errorf("%w: name %.20q... is too long: it has %d characters, and may have %d", ErrInvalid, s, len(s), maxName)
	}
	ok := len(s) > 0
	for i := range len(s) {
		c := s[i]
		alphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		ok = ok && (alphanumeric || i > 0 && (c == '_' || c == '.' || c == '-'))
	}
	if !ok {
		return fmt.Errorf("%w: network name %q: only [a-zA-Z0-9][a-zA-Z0-9_.-]* is allowed", ErrInvalid, s)
	}
	return nil
}

// Predefined tells whether a name is that of a network that always exists.
func Predefined(name string) bool {
	return slices.Contains([]string{"bridge", "host", "none"}, name)
}
