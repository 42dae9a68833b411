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

// socket is a socket that has a port.
type socket struct {
	local  netip.AddrPort
	inode  string
	serves bool // it listens, or is UDP's and not connected; others keep a port from being bound as well
}

// holder finds out who has a port in the namespace of the calling thread. It returns zero if the kernel does not tell: the
// holder may be the kernel itself, or in another PID namespace.
func holder(p Port) (pid int, process string) {
	all := listed(p.Protocol)
	if p.Protocol == TCP {
		all = append(all, boundOnly(p.HostPort)...)
	}
	all = slices.DeleteFunc(all, func(s socket) bool {
		return s.local.Port() != p.HostPort || !overlap(s.local.Addr(), p.HostIP)
	})
	slices.SortStableFunc(all, func(a, b socket) int {
		switch {
		case a.serves == b.serves:
			return 0
		case a.serves:
			return -1
		}
		return 1
	})
	return owner(all)
}

// listed reads the sockets in /proc/net/{tcp,udp}{,6} (proc_pid_net(5)).
func listed(protocol Protocol) (all []socket) {
	for _, table := range []string{"", "6"} {
		text, err := os.ReadFile("/proc/thread-self/net/" + string(protocol) + table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if s, ok := parseSocket(line, protocol); ok {
				all = append(all, s)
			}
		}
	}
	return all
}

// parseSocket reads a line of such a table. A socket without an inode is nobody's any more.
func parseSocket(line string, protocol Protocol) (s socket, ok bool) {
	const listens, unconnected = "0A", "07" // TCP_LISTEN, TCP_CLOSE
	fields := strings.Fields(line)
	if len(fields) < 10 || fields[9] == "0" {
		return socket{}, false
	}
	serves := listens
	if protocol == UDP {
		serves = unconnected
	}
	address, port, found := strings.Cut(fields[1], ":")
	b, err := hex.DecodeString(address)
	number, portErr := strconv.ParseUint(port, 16, 16)
	if !found || err != nil || portErr != nil || len(b)%4 != 0 {
		return socket{}, false
	}
	for word := range slices.Chunk(b, 4) { // each is printed as a number of the machine's byte order
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	addr, ok := netip.AddrFromSlice(b)
	return socket{netip.AddrPortFrom(addr, uint16(number)), fields[9], fields[3] == serves}, ok
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

// owner finds a process that has one of the sockets open, of the first one that anybody has.
func owner(sockets []socket) (pid int, process string) {
	rank := map[string]int{}
	for i, s := range slices.Backward(sockets) {
		rank["socket:["+s.inode+"]"] = i
	}
	best := len(sockets)
	if best == 0 {
		return 0, ""
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return 0, ""
	}
	for _, link := range links {
		target, err := os.Readlink(link)
		if i, wanted := rank[target]; err != nil || !wanted || i >= best {
			continue
		}
		dir := filepath.Dir(filepath.Dir(link))
		number, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		comm, err := os.ReadFile(dir + "/comm")
		if err != nil {
			continue
		}
		best, pid, process = rank[target], number, strings.TrimSpace(string(comm))
	}
	return pid, process
}
