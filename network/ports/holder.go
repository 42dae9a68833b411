package ports

import (
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// zone returns the number of an address's zone, an interface by its name or number.
func zone(a netip.Addr) uint32 {
	if a.Zone() == "" {
		return 0
	}
	if n, err := strconv.ParseUint(a.Zone(), 10, 32); err == nil {
		return uint32(n)
	}
	if link, err := net.InterfaceByName(a.Zone()); err == nil {
		return uint32(link.Index)
	}
	return 0
}

// holder finds out who has a port in the namespace of the calling thread. It returns zero if /proc does not tell: the holder
// may be the kernel, or in another PID namespace.
func holder(p Port) (pid int, process string) {
	for _, table := range []string{"", "6"} {
		text, err := os.ReadFile("/proc/thread-self/net/" + string(p.Protocol) + table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			local, inode, ok := parseSocket(line, p.Protocol)
			if !ok || local.Port() != p.HostPort || !overlap(local.Addr(), p.HostIP) {
				continue
			}
			if pid, process := owner(inode); pid != 0 {
				return pid, process
			}
		}
	}
	return 0, ""
}

// parseSocket reads a line of /proc/net/{tcp,udp}{,6} (proc_pid_net(5)) that says a socket holds a port: a TCP socket that
// listens, or a UDP socket that is not connected.
func parseSocket(line string, protocol Protocol) (local netip.AddrPort, inode string, ok bool) {
	const listens, bound = "0A", "07" // TCP_LISTEN, TCP_CLOSE
	fields := strings.Fields(line)
	if len(fields) < 10 {
		return netip.AddrPort{}, "", false
	}
	state := listens
	if protocol == UDP {
		state = bound
	}
	address, port, found := strings.Cut(fields[1], ":")
	b, err := hex.DecodeString(address)
	number, portErr := strconv.ParseUint(port, 16, 16)
	if !found || err != nil || portErr != nil || fields[3] != state || len(b)%4 != 0 {
		return netip.AddrPort{}, "", false
	}
	for word := range slices.Chunk(b, 4) { // each is printed as a number of the machine's byte order
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	addr, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(addr, uint16(number)), fields[9], ok
}

// overlap tells whether a socket bound to one address keeps another from being bound to the other.
func overlap(local, wanted netip.Addr) bool {
	if !wanted.IsValid() || local.Unmap() == wanted.Unmap() {
		return true
	}
	if local.IsUnspecified() { // [::] may take IPv4 along
		return local.Is6() || wanted.Is4()
	}
	return wanted.IsUnspecified() && local.Unmap().Is4() == wanted.Is4()
}

// owner finds a process that has a socket open.
func owner(inode string) (pid int, process string) {
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return 0, ""
	}
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || target != "socket:["+inode+"]" {
			continue
		}
		dir := filepath.Dir(filepath.Dir(link))
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		comm, err := os.ReadFile(dir + "/comm")
		if err != nil {
			continue
		}
		return pid, strings.TrimSpace(string(comm))
	}
	return 0, ""
}
