package dns

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ctr/network/netns"
)

const (
	// maxServers is how many servers a question is given to: MAXNS of resolv.conf(5).
	maxServers = 3
	// maxResolvConf is how much of a resolv.conf is read, in bytes.
	maxResolvConf = 64 << 10
	port          = 53
)

// upstream is one server that questions are forwarded to.
type upstream struct {
	addr netip.AddrPort
	ns   *netns.Handle // where it is asked from; nil: where this process is
}

// upstreams returns the servers of a configuration, in order.
func (c *Config) upstreams(host *resolvConf, ns *netns.Handle) []upstream {
	var list []upstream
	if len(c.Servers) > 0 {
		for _, addr := range c.Servers {
			// In the container, that address leads back to this resolver.
			if addr.Addr().Unmap() == Address || len(list) == maxServers {
				continue
			}
			list = append(list, upstream{addr: addr, ns: ns})
		}
		return list
	}
	if c.Internal || c.ResolvConf == "" {
		return nil
	}
	for _, addr := range host.servers(c.ResolvConf, time.Now()) {
		list = append(list, upstream{addr: addr})
	}
	return list
}

// resolvConf follows a resolv.conf. The zero value is ready.
type resolvConf struct {
	mu     sync.Mutex
	path   string
	stamp  stamp
	stable bool // the stamp would tell the next change
	list   []netip.AddrPort
}

// stamp is what tells one content of a file from another without reading it.
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
}

// settled is how old a change must be before the next one is certain to have another time stamp: before Linux 6.13 file times
// advance with the clock tick only, and on other file systems with every second or two.
const settled = 2 * time.Second

// servers returns the servers in the file as it is, now being the time. A file that is missing or cannot be read has none.
func (r *resolvConf) servers(path string, now time.Time) []netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		r.stable, r.list = false, nil
		return nil
	}
	current := stamp{dev: st.Dev, ino: st.Ino, size: st.Size, mtime: st.Mtim, ctime: st.Ctim}
	if r.stable && r.path == path && r.stamp == current {
		return r.list
	}
	r.path, r.stamp = path, current
	r.stable = now.Sub(time.Unix(st.Ctim.Unix())) > settled
	r.list = readServers(path)
	return r.list
}

func readServers(path string) []netip.AddrPort {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // of a FIFO, it does not wait for a writer
	if err != nil {
		return nil
	}
	defer f.Close()
	return parseServers(io.LimitReader(f, maxResolvConf))
}

// parseServers reads the lines "nameserver ADDRESS" of a resolv.conf, the first three that are well formed.
func parseServers(r io.Reader) []netip.AddrPort {
	var list []netip.AddrPort
	for lines := bufio.NewScanner(r); len(list) < maxServers && lines.Scan(); {
		words := bytes.Fields(lines.Bytes())
		if len(words) < 2 || string(words[0]) != "nameserver" {
			continue
		}
		if addr, err := netip.ParseAddr(string(words[1])); err == nil {
			list = append(list, netip.AddrPortFrom(addr, port))
		}
	}
	return list
}

// dial opens a socket of the kind (unix.SOCK_DGRAM, SOCK_STREAM) in the namespace that the server is asked from, and connects
// it, so that the kernel drops whatever comes from elsewhere. A TCP connection may still be on its way. The kernel chooses the
// port at random. The caller closes the file.
func (u upstream) dial(kind int) (*os.File, error) {
	family := unix.AF_INET6
	if u.addr.Addr().Unmap().Is4() {
		family = unix.AF_INET
	}
	fd := -1
	open := func() (err error) {
		fd, err = unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return os.NewSyscallError("socket", err)
	}
	var err error
	if u.ns == nil {
		err = open()
	} else {
		err = u.ns.Do(open)
	}
	if err != nil {
		return nil, err
	}
	// The socket stays in its namespace: what follows needs no thread there.
	sa, err := u.sockaddr(fd)
	if err == nil {
		err = os.NewSyscallError("connect", unix.Connect(fd, sa))
	}
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "dns:"+u.addr.String()), nil
}

// sockaddr returns the address for connect(2). The zone of a link-local address is the name or the index of a device in the
// namespace of the socket.
func (u upstream) sockaddr(fd int) (unix.Sockaddr, error) {
	addr := u.addr.Addr().Unmap()
	if addr.Is4() {
		return &unix.SockaddrInet4{Port: int(u.addr.Port()), Addr: addr.As4()}, nil
	}
	sa := &unix.SockaddrInet6{Port: int(u.addr.Port()), Addr: addr.As16()}
	if zone := addr.Zone(); zone != "" {
		if index, err := strconv.ParseUint(zone, 10, 32); err == nil {
			sa.ZoneId = uint32(index)
			return sa, nil
		}
		device, err := unix.NewIfreq(zone)
		if err == nil {
			err = os.NewSyscallError("ioctl", unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, device))
		}
		if err != nil {
			return nil, err
		}
		sa.ZoneId = device.Uint32()
	}
	return sa, nil
}
