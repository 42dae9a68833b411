package options

import (
	"encoding/csv"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"ctr/network"
	"ctr/network/resolvconf"
)

// Attachment parses one --network: a name, or name=...,alias=...,ip=.... The endpoint's Network is the name as it was given;
// "container:NAME" and "ns:PATH" are names too. Unlike in Docker, values keep their case.
func Attachment(spec string) (network.EndpointSpec, error) {
	var e network.EndpointSpec
	if strings.HasPrefix(spec, "container:") || strings.HasPrefix(spec, "ns:") || !strings.Contains(spec, "=") {
		e.Network = spec
		if strings.TrimSpace(spec) == "" {
			return e, errors.New("no name set for network")
		}
		return e, nil
	}
	fields, err := csv.NewReader(strings.NewReader(spec)).Read()
	if err != nil {
		return e, fmt.Errorf("invalid network %q: %w", spec, err)
	}
	for _, field := range fields {
		key, value, ok := strings.Cut(field, "=")
		if !ok || key == "" {
			return e, fmt.Errorf("invalid field %s", field)
		}
		if err := attachmentField(&e, strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)); err != nil {
			return e, err
		}
	}
	if e.Network == "" {
		return e, errors.New("network name/id is not specified")
	}
	return e, nil
}

func attachmentField(e *network.EndpointSpec, key, value string) (err error) {
	switch key {
	case "name":
		e.Network = value
	case "alias":
		e.Aliases = append(e.Aliases, value)
	case "ip":
		e.IPv4, err = IPv4(value)
	case "ip6":
		e.IPv6, err = IPv6(value)
	case "mac-address":
		e.MAC, err = MAC(value)
	case "interface":
		e.Interface = value
	case "gw-priority":
		if e.GwPriority, err = strconv.Atoi(value); err != nil {
			return fmt.Errorf("invalid gw-priority (%s): must be an integer", value)
		}
	case "driver-opt":
		k, v, ok := strings.Cut(value, "=")
		if !ok || k == "" {
			return errors.New("invalid key value pair format in driver options")
		}
		if e.DriverOpts == nil {
			e.DriverOpts = map[string]string{}
		}
		e.DriverOpts[strings.TrimSpace(k)] = strings.TrimSpace(v)
	default:
		return fmt.Errorf("invalid field key %s", key)
	}
	return err
}

// IPv4 parses the address of --ip.
func IPv4(s string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil || !addr.Is4() {
		return netip.Addr{}, fmt.Errorf("invalid IPv4 address: %s", s)
	}
	return addr, nil
}

// IPv6 parses the address of --ip6.
func IPv6(s string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil || !addr.Is6() || addr.Is4In6() || addr.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("invalid IPv6 address: %s", s)
	}
	return addr, nil
}

// MAC parses the address of --mac-address; it is returned in lower case with colons.
func MAC(s string) (string, error) {
	hw, err := net.ParseMAC(strings.TrimSpace(s))
	if err != nil || len(hw) != 6 {
		return "", fmt.Errorf("%s is not a valid mac address", s)
	}
	return hw.String(), nil
}

// DNSServer parses one --dns.
func DNSServer(s string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil {
		return netip.Addr{}, Invalid(s, "--dns", fmt.Errorf("IP address is not correctly formatted: %s", s))
	}
	return addr, nil
}

// SearchDomain checks one --dns-search; "." alone empties the list.
func SearchDomain(s string) (string, error) {
	s = strings.Trim(s, " ")
	if s == "." {
		return s, nil
	}
	if !resolvconf.ValidDomain(s) {
		return "", Invalid(s, "--dns-search", fmt.Errorf("%s is not a valid domain", s))
	}
	return s, nil
}

// DNSOption checks one --dns-option: a word of resolv.conf(5). The C library drops what it cannot read in silence.
func DNSOption(s string) (string, error) {
	if s == "" || strings.ContainsAny(s, " \t\r\n\x00") {
		return "", Invalid(s, "--dns-option", errors.New("not one word"))
	}
	switch name, value, _ := strings.Cut(s, ":"); name {
	case "ndots", "timeout", "attempts":
		if _, err := strconv.ParseUint(value, 10, 31); err != nil {
			return "", Invalid(s, "--dns-option", fmt.Errorf("want a number, as in %s:1", name))
		}
	}
	return s, nil
}

// AddHost parses one --add-host: NAME:ADDRESS or NAME=ADDRESS; the address may stand in brackets, or be host-gateway.
func AddHost(s string) (network.ExtraHost, error) {
	i := strings.IndexAny(s, "=:")
	if i <= 0 || i == len(s)-1 {
		return network.ExtraHost{}, Invalid(s, "--add-host", fmt.Errorf("bad format for add-host: %q", s))
	}
	host := network.ExtraHost{Name: s[:i]}
	if strings.ContainsAny(host.Name, " \t\r\n\x00#") {
		return host, Invalid(s, "--add-host", fmt.Errorf("bad format for add-host: %q", s))
	}
	text := s[i+1:]
	if text == "host-gateway" {
		return host, nil
	}
	if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		text = text[1 : len(text)-1]
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return host, Invalid(s, "--add-host", fmt.Errorf("invalid IP address in add-host: %q", text))
	}
	host.IP = addr
	return host, nil
}

var hostname = lazy(`^(?:[a-zA-Z0-9_]|[a-zA-Z0-9_][a-zA-Z0-9_.-]*[a-zA-Z0-9_])$`)

// Hostname checks a --hostname: letters, digits, dots, hyphens; 64 bytes are what the kernel takes (sethostname(2)).
func Hostname(s string) error {
	if len(s) > 64 || !hostname().MatchString(s) {
		return fmt.Errorf("invalid hostname format for --hostname: %s", s)
	}
	return nil
}
