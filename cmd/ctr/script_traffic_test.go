package main_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ctr/network/netns"
)

// silence is how long `ask` waits for an answer that is not to come.
const silence = 600 * time.Millisecond

// inside runs f in a network namespace: the host's, or the one at a path.
func inside(ts *testscript.TestScript, path string, f func() error) error {
	if path == "host" {
		return f()
	}
	ns, err := netns.Open(ts.MkAbs(path))
	ts.Check(err)
	defer ns.Close()
	return ns.Do(f)
}

// cmdServe answers on a TCP and a UDP port of a namespace, and an SCTP port where the kernel has them, on all addresses, with a word
// and the client's address, until the script ends.
func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: serve host|NETNS PORT WORD")
	}
	address, word := ":"+args[1], args[2]
	ts.Check(inside(ts, args[0], func() error {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		ts.Defer(func() { l.Close() })
		go serveTCP(l, word)
		u, err := net.ListenPacket("udp", address)
		if err != nil {
			return err
		}
		ts.Defer(func() { u.Close() })
		go serveUDP(u, word)
		if !haveSCTP() {
			return nil
		}
		port, err := strconv.ParseUint(args[1], 10, 16)
		if err != nil {
			return err
		}
		stop, err := serveSCTP(uint16(port), word)
		if err == nil {
			ts.Defer(stop)
		}
		return err
	}))
}

// answer is what a server says to a client.
func answer(word string, client net.Addr) []byte {
	host, _, _ := net.SplitHostPort(client.String())
	return fmt.Appendf(nil, "%s %s\n", word, host)
}

func serveTCP(l net.Listener, word string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = c.Write(answer(word, c.RemoteAddr()))
		c.Close()
	}
}

func serveUDP(u net.PacketConn, word string) {
	buf := make([]byte, 100)
	for {
		_, client, err := u.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = u.WriteTo(answer(word, client), client)
	}
}

// cmdAsk asks a server from a namespace, and prints its answer. "! ask" wants no answer.
func cmdAsk(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 && (len(args) != 4 || args[1] != "udp") {
		ts.Fatalf("usage: [!] ask host|NETNS tcp|udp|sctp ADDRESS:PORT, or udp ADDRESS:PORT FROM-PORT")
	}
	limit := patience
	if neg {
		limit = silence
	}
	var text []byte
	err := inside(ts, args[0], func() (err error) {
		text, err = ask(args[1], args[2], limit, args[3:]...)
		return err
	})
	fmt.Fprintf(ts.Stdout(), "%s", text)
	switch {
	case neg && err == nil:
		ts.Fatalf("an answer: %q", text)
	case !neg && err != nil:
		ts.Fatalf("no answer: %v", err)
	}
}

// ask asks a server, with UDP from a port that may be given: whoever tracks connections takes all from there for one.
func ask(network, address string, patience time.Duration, from ...string) ([]byte, error) {
	if network == "sctp" {
		return askSCTP(address, patience)
	}
	dialer := net.Dialer{Timeout: patience}
	if len(from) > 0 {
		port, err := strconv.Atoi(from[0])
		if err != nil {
			return nil, err
		}
		dialer.LocalAddr = &net.UDPAddr{Port: port}
	}
	c, err := dialer.Dial(network, address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if network == "udp" {
		if _, err := c.Write([]byte("?")); err != nil {
			return nil, err
		}
		buf := make([]byte, 100)
		n, err := c.Read(buf)
		return buf[:n], err
	}
	text, err := io.ReadAll(c)
	if err == nil && len(text) == 0 {
		err = errors.New("closed without an answer")
	}
	return text, err
}
