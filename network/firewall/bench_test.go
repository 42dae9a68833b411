package firewall_test

import (
	"os"
	"testing"

	"ctr/network/firewall"
	"ctr/network/netns"
)

// BenchmarkRuleset is what a container's start and end pay the firewall, beside the ports of others.
func BenchmarkRuleset(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root")
	}
	host, err := netns.New()
	must(b, err)
	defer host.Close()
	f := firewall.Open(host, "")
	addNetwork(b, f, bridge4)
	b.Run("network", func(b *testing.B) { // that is there already
		for b.Loop() {
			addNetwork(b, f, bridge4)
		}
	})
	one := []firewall.Port{port("tcp", "", 9999, web4, 80)}
	publish := func(b *testing.B) {
		for b.Loop() {
			must(b, f.AddPorts(one))
			must(b, f.RemovePorts(one))
		}
	}
	b.Run("port", publish)
	var others []firewall.Port
	for i := range 1000 {
		others = append(others, port("tcp", "", uint16(10000+i), web4, uint16(10000+i)))
	}
	must(b, f.AddPorts(others))
	b.Run("port-of-1000", publish)
	b.Run("dns", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			ns, err := netns.New()
			must(b, err)
			b.StartTimer()
			must(b, firewall.RedirectDNS(ns, 40001, 40002))
			b.StopTimer()
			must(b, ns.Close())
			b.StartTimer()
		}
	})
}
