package ports_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
	"ctr/network/ports"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tcp(host string, port uint16) ports.Port {
	p := ports.Port{Protocol: ports.TCP, HostPort: port}
	if host != "" {
		p.HostIP = netip.MustParseAddr(host)
	}
	return p
}

func udp(host string, port uint16) ports.Port {
	p := tcp(host, port)
	p.Protocol = ports.UDP
	return p
}

func hold(t testing.TB, list ...ports.Port) []*ports.Held {
	t.Helper()
	held, err := ports.Hold(nil, list)
	must(t, err)
	t.Cleanup(func() {
		for _, h := range held {
			h.Close()
		}
	})
	return held
}

func TestHoldNamesTheHolder(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		l, err := net.Listen("tcp4", "127.0.0.1:8080")
		must(t, err)
		defer l.Close()
		u, err := net.ListenPacket("udp6", "[::]:5353")
		must(t, err)
		defer u.Close()
		for _, p := range []ports.Port{tcp("", 8080), tcp("0.0.0.0", 8080), tcp("127.0.0.1", 8080), udp("", 5353), udp("::", 5353)} {
			_, err := ports.Hold(nil, []ports.Port{tcp("", 9090), p})
			inUse := &ports.InUseError{}
			if !errors.As(err, &inUse) || inUse.PID != os.Getpid() {
				t.Errorf("hold %s/%s: %v, want the holder, PID %d", p, p.Protocol, err, os.Getpid())
				continue
			}
			want := fmt.Sprintf("Bind for %s failed: port is already allocated: port %d/%s on", p, p.HostPort, p.Protocol)
			if !strings.HasPrefix(err.Error(), want) {
				t.Errorf("hold %s says %q, want %q...", p, err, want)
			}
			hold(t, tcp("", 9090))[0].Close() // the port before it was given back
		}
		// Other addresses and protocols of the same port are free.
		hold(t, tcp("127.0.0.2", 8080), udp("", 8080), tcp("", 5353))
	})
}

// TestHoldNamesWhoOnlyBinds names holders that neither listen nor wait for datagrams of anybody.
func TestHoldNamesWhoOnlyBinds(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		listener, err := net.Listen("tcp4", "127.0.0.1:7000")
		must(t, err)
		defer listener.Close()
		local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8081}
		connected, err := net.DialTCP("tcp4", local, listener.Addr().(*net.TCPAddr))
		must(t, err)
		defer connected.Close()
		datagrams, err := net.DialUDP("udp4", &net.UDPAddr{Port: 5354}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9})
		must(t, err)
		defer datagrams.Close()
		taken := []ports.Port{tcp("", 8081), udp("", 5354), udp("127.0.0.1", 5354)}

		for _, at := range []unix.Sockaddr{&unix.SockaddrInet4{Port: 8082}, &unix.SockaddrInet6{Port: 8083}} {
			domain := unix.AF_INET
			if _, six := at.(*unix.SockaddrInet6); six {
				domain = unix.AF_INET6
			}
			bound, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			must(t, err)
			defer unix.Close(bound)
			must(t, unix.Bind(bound, at))
		}
		if kernelVersion(t) >= 6008 { // older ones do not tell
			taken = append(taken, tcp("", 8082), tcp("127.0.0.1", 8082), tcp("", 8083), tcp("::1", 8083))
		}
		for _, p := range taken {
			_, err := ports.Hold(nil, []ports.Port{p})
			inUse := &ports.InUseError{}
			if !errors.As(err, &inUse) || inUse.PID != os.Getpid() {
				t.Errorf("hold %s/%s: %v, want the holder, PID %d", p, p.Protocol, err, os.Getpid())
			}
		}
	})
}

// kernelVersion is 6008 for Linux 6.8.
func kernelVersion(t *testing.T) int {
	t.Helper()
	var u unix.Utsname
	must(t, unix.Uname(&u))
	var major, minor int
	_, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	must(t, err)
	return major*1000 + minor
}

func TestHoldKeepsThievesOut(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		hold(t, tcp("", 8080), udp("", 8080), tcp("127.0.0.1", 9090))
		for _, address := range []string{"0.0.0.0:8080", "[::]:8080", "127.0.0.1:8080", "127.0.0.1:9090", "0.0.0.0:9090"} {
			for _, option := range []int{0, unix.SO_REUSEADDR, unix.SO_REUSEPORT} {
				c := net.ListenConfig{Control: func(_, _ string, conn syscall.RawConn) error {
					return conn.Control(func(fd uintptr) {
						_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 0)
						if option != 0 {
							_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, 1)
						}
					})
				}}
				if l, err := c.Listen(t.Context(), "tcp", address); err == nil {
					t.Errorf("tcp %s with option %d: stolen", address, option)
					l.Close()
				}
				if strings.HasSuffix(address, ":9090") {
					continue
				}
				if l, err := c.ListenPacket(t.Context(), "udp", address); err == nil {
					t.Errorf("udp %s with option %d: stolen", address, option)
					l.Close()
				}
			}
		}
	})
}

func TestHoldChooses(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		h := hold(t, tcp("", 0), udp("", 0))
		for _, h := range h {
			if h.Port.HostPort == 0 || len(h.Files) != 2 {
				t.Errorf("free port: %d with %d sockets", h.Port.HostPort, len(h.Files))
			}
		}
		some := ports.Port{Protocol: ports.TCP, HostPort: 8000, HostPortEnd: 8002}
		l, err := net.Listen("tcp6", "[::]:8001") // free for IPv4, not for IPv6
		must(t, err)
		defer l.Close()
		list := hold(t, some, some)
		if a, b := list[0].Port.HostPort, list[1].Port.HostPort; a != 8000 || b != 8002 {
			t.Errorf("two of 8000-8002, 8001 taken: %d, %d", a, b)
		}
		_, err = ports.Hold(nil, []ports.Port{some})
		if want := "Bind for 0.0.0.0:8000-8002 failed: port is already allocated"; err == nil || err.Error() != want {
			t.Errorf("none left: %v, want %s", err, want)
		}
		_, err = ports.Hold(nil, []ports.Port{{Protocol: "dccp", HostPort: 80}})
		if !errors.Is(err, ports.ErrUnsupported) {
			t.Errorf("dccp: %v", err)
		}
		_, err = ports.Hold(nil, []ports.Port{tcp("10.99.0.1", 80)})
		if !errors.Is(err, unix.EADDRNOTAVAIL) {
			t.Errorf("an address of nobody: %v", err)
		}
	})
}

// TestHoldSCTP: a kernel that has SCTP holds its ports, apart from TCP's of the same number; another one says what it lacks.
func TestHoldSCTP(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		sctp := []ports.Port{{Protocol: ports.SCTP, HostPort: 3868}}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP)
		if errors.Is(err, unix.EPROTONOSUPPORT) {
			_, err := ports.Hold(nil, sctp)
			if !errors.Is(err, ports.ErrUnsupported) || !strings.Contains(err.Error(), "CONFIG_IP_SCTP") {
				t.Errorf("sctp without the kernel's support: %v", err)
			}
			return
		}
		must(t, err)
		defer unix.Close(fd)
		hold(t, tcp("", 3868))
		first, err := ports.Hold(nil, sctp)
		must(t, err)
		if len(first[0].Files) != 2 {
			t.Errorf("%d sockets", len(first[0].Files))
		}
		var inUse *ports.InUseError
		if _, err := ports.Hold(nil, sctp); !errors.As(err, &inUse) {
			t.Errorf("a port that is held: %v", err)
		}
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 3868, Addr: [4]byte{127, 0, 0, 1}}); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("connect to a port that is only held: %v", err)
		}
		must(t, first[0].Close())
		again, err := ports.Hold(nil, sctp)
		must(t, err)
		must(t, again[0].Close())
	})
}

func TestHoldOverTimeWait(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		h := hold(t, tcp("127.0.0.1", 8080))[0]
		l, err := net.FileListener(h.Files[0])
		must(t, err)
		client, err := net.Dial("tcp", "127.0.0.1:8080")
		must(t, err)
		server, err := l.Accept()
		must(t, err)
		must(t, server.Close()) // first: this side waits
		_, err = io.ReadAll(client)
		must(t, err)
		must(t, client.Close())
		must(t, l.Close())
		must(t, h.Close())
		hold(t, tcp("127.0.0.1", 8080))
	})
}

// echo answers TCP connections, when their clients have ended, with what they said.
func echo(t testing.TB, network, address string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen(network, address)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			go func() {
				defer c.Close()
				said, err := io.ReadAll(c)
				if err == nil {
					_, _ = c.Write(said)
				}
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// serve runs Serve until the test ends, or the returned function is called.
func serve(t testing.TB, forwards ...ports.Forward) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ports.Serve(ctx, forwards...) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("serve does not end")
		}
	}
	t.Cleanup(stop)
	return stop
}

func TestServeTCP(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		target := echo(t, "tcp4", "127.0.0.2:80")
		held := hold(t, tcp("", 8080))
		stop := serve(t, ports.Forward{Held: held[0], Targets: []netip.AddrPort{target}})
		said := make([]byte, 4<<20)
		_, _ = rand.Read(said)
		for _, address := range []string{"127.0.0.1:8080", "[::1]:8080", testhost.ResolverAddress + ":8080"} {
			c, err := net.Dial("tcp", address)
			must(t, err)
			go func() {
				_, _ = c.Write(said)
				_ = c.(*net.TCPConn).CloseWrite()
			}()
			heard, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(heard, said) {
				t.Errorf("%s: %d bytes came back, %v", address, len(heard), err)
			}
			c.Close()
		}
		// The end of Serve ends connections; the port stays held.
		c, err := net.Dial("tcp", "127.0.0.1:8080")
		must(t, err)
		_, err = c.Write([]byte("half a"))
		must(t, err)
		awaitAccepted(t, held[0])
		stop()
		if _, err := io.ReadAll(c); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("connection at the end of Serve: %v, want it reset", err)
		}
		if _, err := ports.Hold(nil, []ports.Port{tcp("", 8080)}); err == nil {
			t.Error("the port is free after Serve")
		}
	})
}

// awaitAccepted waits until no connection is left in the queues of the port.
func awaitAccepted(t *testing.T, h *ports.Held) {
	t.Helper()
	for _, f := range h.Files {
		for {
			info, err := unix.GetsockoptTCPInfo(int(f.Fd()), unix.SOL_TCP, unix.TCP_INFO)
			must(t, err)
			must(t, unix.SetNonblock(int(f.Fd()), true))
			if info.Unacked == 0 { // of a listening socket: the length of its queue
				break
			}
			runtime.Gosched()
		}
	}
}

func TestServeResetsRefused(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		held := hold(t, tcp("", 8080))
		serve(t, ports.Forward{Held: held[0], Targets: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.2:80")}})
		c, err := net.Dial("tcp", "127.0.0.1:8080")
		if err == nil { // or it was reset so soon that Dial saw it
			_, err = io.ReadAll(c)
		}
		if !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("nobody listens in the container: %v, want the connection reset", err)
		}
	})
}

func TestServeWithoutDescriptors(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		target := echo(t, "tcp4", "127.0.0.2:80")
		held := hold(t, tcp("127.0.0.1", 8080))
		serve(t, ports.Forward{Held: held[0], Targets: []netip.AddrPort{target}})
		works := func() error {
			c, err := net.Dial("tcp", "127.0.0.1:8080")
			if err != nil {
				return err
			}
			defer c.Close()
			err = errors.Join(c.SetDeadline(time.Now().Add(30*time.Second)), c.(*net.TCPConn).CloseWrite())
			_, readErr := io.ReadAll(c)
			return errors.Join(err, readErr)
		}
		must(t, works()) // Serve has begun
		var limit unix.Rlimit
		must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
		resetWithout := func() {
			t.Helper()
			must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 64, Max: limit.Max}))
			var fill []*os.File
			for {
				f, err := os.Open("/dev/null")
				if err != nil {
					break
				}
				fill = append(fill, f)
			}
			fill[0].Close() // for the client's own socket
			c, err := net.Dial("tcp", "127.0.0.1:8080")
			if err == nil {
				_ = c.SetDeadline(time.Now().Add(30 * time.Second))
				_, err = io.ReadAll(c)
				c.Close()
			}
			for _, f := range fill[1:] {
				f.Close()
			}
			must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
			if !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("no descriptors left: %v, want the connection reset", err)
			}
		}
		resetWithout()
		if err := works(); err != nil {
			t.Errorf("descriptors again: %v", err)
		}

		// Somebody may be faster, and take even the last one, which is kept to refuse with.
		client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		must(t, err)
		defer unix.Close(client)
		before := descriptors()
		must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: limit.Max}))
		must(t, unix.Connect(client, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 8080}))
		for deadline := time.Now().Add(30 * time.Second); descriptors() >= before && time.Now().Before(deadline); {
			runtime.Gosched()
		}
		must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
		must(t, works())
		resetWithout()
	})
}

// descriptors counts what is open, without opening anything.
func descriptors() (n int) {
	for fd := range 1024 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	return n
}

func TestServeUDP(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		server, err := net.ListenPacket("udp4", "127.0.0.2:53")
		must(t, err)
		defer server.Close()
		go func() {
			b := make([]byte, 1<<16)
			for {
				n, from, err := server.ReadFrom(b)
				if err != nil {
					return
				}
				_, _ = server.WriteTo(append([]byte(from.String()+" "), b[:n]...), from)
			}
		}()
		held := hold(t, udp("", 5555))
		serve(t, ports.Forward{Held: held[0], Targets: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.2:53")}})
		seen := map[string]string{}
		for _, address := range []string{"127.0.0.1:5555", "127.0.0.5:5555", testhost.ResolverAddress + ":5555", "[::1]:5555"} {
			c, err := net.Dial("udp", address) // connected: hears only what comes from the address it asked
			must(t, err)
			defer c.Close()
			must(t, c.SetDeadline(time.Now().Add(30*time.Second)))
			for _, said := range []string{"one", "", strings.Repeat("x", 9000)} {
				_, err = c.Write([]byte(said))
				must(t, err)
				b := make([]byte, 1<<16)
				n, err := c.Read(b)
				if err != nil {
					t.Errorf("%s: %v", address, err)
					break
				}
				flow, heard, _ := strings.Cut(string(b[:n]), " ")
				if heard != said {
					t.Errorf("%s: heard %d bytes, said %d", address, len(heard), len(said))
				}
				if other, ok := seen[flow]; ok && other != address {
					t.Errorf("%s and %s share the flow %s", address, other, flow)
				}
				seen[flow] = address
			}
		}
		if len(seen) != 4 {
			t.Errorf("four clients made these flows: %v", seen)
		}
	})
}

// Sockets work after a way through another process.
func TestFilesCanBePassed(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		held := hold(t, tcp("", 8080))
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		must(t, err)
		var fds []int
		for _, f := range held[0].Files {
			fds = append(fds, int(f.Fd()))
		}
		must(t, unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(fds...), nil, 0))
		oob := make([]byte, 128)
		_, n, _, _, err := unix.Recvmsg(pair[1], make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC)
		must(t, err)
		messages, err := unix.ParseSocketControlMessage(oob[:n])
		must(t, err)
		got, err := unix.ParseUnixRights(&messages[0])
		must(t, err)
		passed := &ports.Held{Port: held[0].Port}
		for _, fd := range got {
			passed.Files = append(passed.Files, os.NewFile(uintptr(fd), "passed"))
		}
		must(t, held[0].Close())
		t.Cleanup(func() { passed.Close() }) // after the end of Serve
		serve(t, ports.Forward{Held: passed, Targets: []netip.AddrPort{echo(t, "tcp4", "127.0.0.2:80")}})
		c, err := net.Dial("tcp", "[::1]:8080")
		must(t, err)
		must(t, c.(*net.TCPConn).CloseWrite())
		if _, err := io.ReadAll(c); err != nil {
			t.Error(err)
		}
	})
}

// A thousand ports cost one goroutine or two, and next to no memory.
func TestThousandPorts(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		var list []ports.Port
		for port := uint16(10000); port < 11000; port++ {
			list = append(list, tcp("", port))
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		routines := runtime.NumGoroutine()
		start := time.Now()
		held := hold(t, list...)
		t.Logf("1000 ports held in %v", time.Since(start))
		var forwards []ports.Forward
		target := []netip.AddrPort{echo(t, "tcp4", "127.0.0.2:80")}
		for _, h := range held {
			forwards = append(forwards, ports.Forward{Held: h, Targets: target})
		}
		serve(t, forwards...)
		c, err := net.Dial("tcp", "127.0.0.1:10999")
		must(t, err)
		must(t, c.(*net.TCPConn).CloseWrite())
		_, err = io.ReadAll(c)
		must(t, err)
		runtime.GC()
		runtime.ReadMemStats(&after)
		bytes, more := int64(after.HeapAlloc)-int64(before.HeapAlloc), runtime.NumGoroutine()-routines
		t.Logf("1000 ports: %d bytes of heap and %d goroutines more", bytes, more)
		if more > 10 || bytes > 2<<20 {
			t.Errorf("1000 ports cost %d bytes of heap and %d goroutines", bytes, more)
		}
	})
}
