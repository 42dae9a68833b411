package options

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"ctr/network"
)

// Ports parses all -p of a command line: [IP:][HOST[-HOST]:]CONTAINER[-CONTAINER][/tcp|udp|sctp], or the long form
// published=...,target=...,protocol=.... A port that is given twice in the same way counts once.
func Ports(specs []string) ([]network.Port, error) {
	var all []network.Port
	seen := map[network.Port]bool{}
	for _, spec := range specs {
		ports, err := Port(spec)
		if err != nil {
			return nil, err
		}
		for _, p := range ports {
			if !seen[p] {
				seen[p] = true
				all = append(all, p)
			}
		}
	}
	return all, nil
}

// Port parses one -p, which is several ports when it is a range.
func Port(spec string) ([]network.Port, error) {
	if strings.Contains(spec, "=") {
		var err error
		if spec, err = shortPort(spec); err != nil {
			return nil, err
		}
	}
	host, hostPorts, target := splitPort(spec)
	containerPorts, proto, err := portAndProtocol(target)
	if err != nil {
		return nil, err
	}
	if containerPorts == "" {
		return nil, fmt.Errorf("no port specified: %s<empty>", spec)
	}
	addr, err := hostAddress(host)
	if err != nil {
		return nil, err
	}
	first, last, err := portRange(containerPorts)
	if err != nil || first == 0 {
		return nil, errors.New("invalid containerPort: " + containerPorts)
	}
	var hostFirst, hostLast uint16
	if hostPorts != "" {
		// 0 stands for any port, and begins no range.
		if hostFirst, hostLast, err = portRange(hostPorts); err != nil || hostFirst == 0 && hostLast != 0 {
			return nil, errors.New("invalid hostPort: " + hostPorts)
		}
		// A single port of the container may have a range of the host to choose from.
		if last-first != hostLast-hostFirst && last != first {
			return nil, fmt.Errorf("invalid ranges specified for container and host Ports: %s and %s", containerPorts, hostPorts)
		}
	}
	var ports []network.Port
	for i := range int(last-first) + 1 {
		p := network.Port{Protocol: proto, HostIP: addr, ContainerPort: first + uint16(i)}
		if hostFirst != 0 {
			p.HostPort = hostFirst + uint16(i)
		}
		if first == last && hostLast > hostFirst {
			p.HostPortEnd = hostLast
		}
		ports = append(ports, p)
	}
	return ports, nil
}

// shortPort turns Docker's long form of -p into the short one.
func shortPort(spec string) (string, error) {
	params := map[string]string{"published": "", "target": "", "protocol": "tcp", "mode": "ingress"}
	unknown := ""
	for param := range strings.SplitSeq(spec, ",") {
		k, v, ok := strings.Cut(param, "=")
		if !ok || k == "" {
			return "", fmt.Errorf("invalid publish opts format (should be name=value but got '%s')", param)
		}
		if _, known := params[k]; !known && unknown == "" {
			unknown = k
		}
		params[k] = v
	}
	if unknown != "" {
		return "", fmt.Errorf("invalid publish opts format: invalid field key %s", unknown)
	}
	if params["target"] == "" {
		return "", errors.New("invalid publish opts format: missing mandatory field target")
	}
	return params["published"] + ":" + params["target"] + "/" + params["protocol"], nil
}

// splitPort cuts at the last two colons; what is before is an address, which may hold colons itself.
func splitPort(spec string) (host, hostPorts, containerPorts string) {
	rest, containerPorts, ok := cutLast(spec, ":")
	if !ok {
		return "", "", spec
	}
	host, hostPorts, ok = cutLast(rest, ":")
	if !ok {
		return "", rest, containerPorts
	}
	return host, hostPorts, containerPorts
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// hostAddress parses the address before the ports. None is the zero address: all of the host's.
func hostAddress(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	raw := s
	if s[0] == '[' {
		var err error
		if raw, _, err = net.SplitHostPort(s + ":"); err != nil {
			return netip.Addr{}, fmt.Errorf("invalid IP address %v: %w", s, err)
		}
	}
	addr, err := netip.ParseAddr(raw)
	if err != nil {
		return netip.Addr{}, errors.New("invalid IP address: " + raw)
	}
	if addr = addr.Unmap(); addr.IsMulticast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return netip.Addr{}, errors.New("invalid IP address: " + raw + ": no host has it for itself")
	}
	if addr.Is6() && addr.IsLinkLocalUnicast() && addr.Zone() == "" {
		return netip.Addr{}, errors.New("invalid IP address: " + raw + ": each link may have it, say which: " + raw + "%LINK")
	}
	return addr, nil
}

// portAndProtocol splits "80/udp". The protocol is tcp by default.
func portAndProtocol(s string) (ports string, proto network.Protocol, err error) {
	ports, word, _ := strings.Cut(s, "/")
	if ports == "" {
		return "", "", nil
	}
	proto = network.Protocol(strings.ToLower(word))
	if proto == "" {
		proto = network.TCP
	}
	if !slices.Contains([]network.Protocol{network.TCP, network.UDP, network.SCTP}, proto) {
		return "", "", errors.New("invalid proto: " + string(proto))
	}
	return ports, proto, nil
}

// portRange parses "80" and "80-90".
func portRange(s string) (first, last uint16, err error) {
	from, to, ok := strings.Cut(s, "-")
	if !ok {
		to = from
	}
	a, err := strconv.ParseUint(from, 10, 16)
	if err != nil {
		return 0, 0, err
	}
	b, err := strconv.ParseUint(to, 10, 16)
	if err != nil {
		return 0, 0, err
	}
	if b < a {
		return 0, 0, fmt.Errorf("invalid range %q: the last port is below the first", s)
	}
	return uint16(a), uint16(b), nil
}

// Expose parses all --expose: PORT[-PORT][/PROTOCOL].
func Expose(specs []string) ([]network.Expose, error) {
	var all []network.Expose
	seen := map[network.Expose]bool{}
	for _, spec := range specs {
		if strings.Contains(spec, ":") {
			return nil, errors.New("invalid port format for --expose: " + spec)
		}
		ports, proto, err := portAndProtocol(spec)
		if err != nil {
			return nil, err
		}
		first, last, err := portRange(ports)
		if err != nil {
			return nil, fmt.Errorf("invalid range format for --expose: %s, error: %w", spec, err)
		}
		if first == 0 {
			return nil, fmt.Errorf("invalid range format for --expose: %s, error: port 0 is none", spec)
		}
		for i := range int(last-first) + 1 {
			e := network.Expose{Protocol: proto, Port: first + uint16(i)}
			if !seen[e] {
				seen[e] = true
				all = append(all, e)
			}
		}
	}
	return all, nil
}

// TargetPort parses the PORT[/PROTOCOL] of `ctr port`.
func TargetPort(s string) (network.Expose, error) {
	port, proto, err := portAndProtocol(s)
	if err != nil {
		return network.Expose{}, err
	}
	first, last, err := portRange(port)
	if err != nil || first != last {
		return network.Expose{}, fmt.Errorf("invalid port '%s'", port)
	}
	return network.Expose{Protocol: proto, Port: first}, nil
}
