package ports

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// connectTimeout is how long the container may take to answer: less than most clients wait.
const connectTimeout = 10 * time.Second

// relay copies between a client and the target, until both have ended their sides, one breaks, or the context ends. What
// breaks one side resets the other: neither takes a broken connection for a finished one.
func relay(ctx context.Context, client *net.TCPConn, target netip.AddrPort) {
	defer client.Close()
	_ = client.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true}) // for clients that vanish
	dialer := net.Dialer{Timeout: connectTimeout}
	server, err := dialer.DialTCP(ctx, "tcp", netip.AddrPort{}, target)
	if err != nil {
		reset(client)
		return
	}
	_ = client.SetLinger(-1) // from now on it ends as the server ends it
	defer server.Close()
	stop := context.AfterFunc(ctx, func() { reset(client); reset(server) })
	defer stop()

	var wg sync.WaitGroup
	pipe := func(to, from *net.TCPConn) {
		if _, err := io.Copy(to, from); err != nil { // splice(2)
			reset(to)
			reset(from)
			return
		}
		_ = to.CloseWrite() // fails if the other side is gone, which the other direction sees
	}
	wg.Go(func() { pipe(server, client) })
	pipe(client, server)
	wg.Wait()
}

// reset closes a connection with RST.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}
