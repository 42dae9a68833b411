package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ctr/network/ports"
)

// CheckPorts refuses ports of one container of which one would take the place of another.
func CheckPorts(all []Port) error {
	type number struct {
		protocol Protocol
		port     uint16
	}
	taken := map[number][]netip.Addr{}
	for _, p := range all {
		if p.HostPort == 0 || p.HostPortEnd > p.HostPort {
			continue // there is a choice
		}
		key := number{p.Protocol, p.HostPort}
		for _, other := range taken[key] {
			if sameHostAddress(p.HostIP, other) {
				at := ports.Port{Protocol: ports.Protocol(p.Protocol), HostIP: p.HostIP, HostPort: p.HostPort}
				return fmt.Errorf("%w: the container publishes port %d/%s twice", &ports.InUseError{Port: at}, p.HostPort, p.Protocol)
			}
		}
		taken[key] = append(taken[key], p.HostIP)
	}
	return nil
}

// sameHostAddress tells whether two addresses of the host, zero being all, have one in common.
func sameHostAddress(a, b netip.Addr) bool {
	return !a.IsValid() || !b.IsValid() || a == b || a.Is4() == b.Is4() && (a.IsUnspecified() || b.IsUnspecified())
}

// nameHolder says which container has a port that is in use. Those of this installation are known by their records, those of
// others by the name that ip-netns(8) shows of the network which their monitor keeps.
func (n *Networks) nameHolder(err error) error {
	var inUse *ports.InUseError
	if !errors.As(err, &inUse) {
		return err
	}
	paths, _ := filepath.Glob(n.config.Sandboxes)
	for _, path := range paths {
		r, readErr := ReadRecord(path)
		switch {
		case readErr != nil || !r.alive():
		case inUse.PID == 0 && r.publishes(inUse.Port):
			return fmt.Errorf("%w: container %s publishes it", err, r.Spec.Name)
		case r.Owner.PID == inUse.PID && r.Owner.Alive():
			return fmt.Errorf("%w, which is container %s", err, r.Spec.Name)
		}
	}
	if inUse.PID == 0 {
		return err
	}
	entries, _ := os.ReadDir(n.config.NetnsDir)
	for _, e := range entries {
		target, readErr := os.Readlink(filepath.Join(n.config.NetnsDir, e.Name()))
		if readErr == nil && strings.HasPrefix(target, "/proc/"+strconv.Itoa(inUse.PID)+"/fd/") {
			return fmt.Errorf("%w, which is container %s of another installation of ctr", err, e.Name())
		}
	}
	return err
}

// publishes tells whether the container has a port, which nobody else can have then. The kernel does not tell who has a port of
// SCTP.
func (r *Record) publishes(wanted ports.Port) bool {
	return wanted.HostPort != 0 && wanted.HostPortEnd <= wanted.HostPort && slices.ContainsFunc(r.Ports, func(p Port) bool {
		at, held := r.held(p)
		return held && at.Protocol == wanted.Protocol && at.HostPort == wanted.HostPort && sameHostAddress(at.HostIP, wanted.HostIP)
	})
}
