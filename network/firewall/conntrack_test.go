package firewall_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"ctr/internal/testhost"
	"ctr/network/firewall"
)

// answered sends a datagram on a connection and tells whether one comes back.
func answered(conn net.Conn) bool {
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = conn.Write([]byte("?"))
	_, err := conn.Read(make([]byte, 64))
	return err == nil
}

// A port that is removed is removed for who uses it, too; a neighbour's connections go on.
func TestRemovedPortForgetsClients(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		l := newLab(t, h)
		l.network(t, labBridge)
		l.container(t, "ctr0", "a", "172.17.0.2/16", "fd00:17::2/64")
		a := netip.MustParseAddr("172.17.0.2")
		one, other := port("udp", "", 5555, a, 80), port("udp", "", 5556, a, 9999)
		must(t, l.AddPorts([]firewall.Port{one, other}))
		var conn net.Conn
		must(t, l.lanA.do(func() (err error) {
			conn, err = net.Dial("udp", "10.1.0.1:5555")
			return err
		}))
		defer conn.Close()
		if !answered(conn) {
			t.Fatal("no answer from a published port")
		}
		must(t, l.RemovePorts([]firewall.Port{other}))
		if !answered(conn) {
			t.Error("the end of another port of the container ends this one")
		}
		must(t, l.RemovePorts([]firewall.Port{one}))
		if answered(conn) {
			t.Error("an answer from a port that was removed")
		}
	})
}

// Who gets an address hears nothing that was meant for its predecessor.
func TestForget(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, h *testhost.Host) {
		l := newLab(t, h)
		l.network(t, labBridge)
		a := l.container(t, "ctr0", "a", "172.17.0.2/16", "fd00:17::2/64")
		var server net.PacketConn
		must(t, l.lanA.do(func() (err error) {
			server, err = net.ListenPacket("udp4", "10.1.0.2:7")
			return err
		}))
		defer server.Close()
		var client net.Conn
		must(t, a.do(func() (err error) {
			client, err = net.Dial("udp4", "10.1.0.2:7")
			return err
		}))
		defer client.Close()
		_, err := client.Write([]byte("?"))
		must(t, err)
		must(t, server.SetDeadline(time.Now().Add(30*time.Second)))
		_, from, err := server.ReadFrom(make([]byte, 64))
		must(t, err)
		hears := func() bool {
			_, err := server.WriteTo([]byte("!"), from)
			must(t, err)
			must(t, client.SetReadDeadline(time.Now().Add(patience)))
			_, err = client.Read(make([]byte, 64))
			return err == nil
		}
		must(t, l.Forget(netip.MustParseAddr("172.17.0.3"), netip.MustParseAddr("fd00:17::2")))
		if !hears() {
			t.Error("forgotten with its neighbours")
		}
		must(t, l.Forget(netip.MustParseAddr("172.17.0.2")))
		if hears() {
			t.Error("an answer after the container was forgotten")
		}
	})
}
