package firewall_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"ctr/internal/testhost"
	"ctr/network/firewall"
)

// A range of a thousand ports, and more than a message or the default socket buffer holds.
func TestManyPorts(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		f := firewall.Open(nil, "")
		addNetwork(t, f, bridge4)
		var list []firewall.Port
		for i := range 5000 {
			list = append(list, port("tcp", "", uint16(10000+i), web4, uint16(10000+i)))
		}
		start := time.Now()
		must(t, f.AddPorts(list[:1000]))
		t.Logf("1000 ports added in %v", time.Since(start))
		must(t, f.AddPorts(list))
		if findings, err := f.Check([]firewall.Network{bridge4}, list); err != nil || len(findings) > 0 {
			t.Errorf("check: %v, %v", findings, err)
		}
		start = time.Now()
		must(t, f.RemovePorts(list))
		t.Logf("5000 ports removed in %v", time.Since(start))
		if findings, err := f.Check([]firewall.Network{bridge4}, nil); err != nil || len(findings) > 0 {
			t.Errorf("check: %v, %v", findings, err)
		}
	})
}

// Many processes at once, some of which repair: nobody undoes what another does. As in life, what is to be is written down before
// it is done, and forgotten after it was undone.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		const workers, networks = 16, 4
		var all []firewall.Network
		for i := range networks {
			all = append(all, firewall.Network{
				Bridge: fmt.Sprint("br", i), Prefixes: prefixes(fmt.Sprintf("172.%d.0.0/16", 18+i)), Gateways: addrs(fmt.Sprintf("172.%d.0.1", 18+i)),
			})
		}
		var mu sync.Mutex
		written := map[int]firewall.Port{}
		write := func(i int, p *firewall.Port) {
			mu.Lock()
			defer mu.Unlock()
			if delete(written, i); p != nil {
				written[i] = *p
			}
		}
		read := func() ([]firewall.Network, []firewall.Port, error) {
			mu.Lock()
			defer mu.Unlock()
			return all, slices.Collect(maps.Values(written)), nil
		}
		var wg sync.WaitGroup
		for i := range workers {
			wg.Go(func() {
				f := firewall.Open(nil, "")
				ip := netip.AddrFrom4([4]byte{172, byte(18 + i%networks), 0, byte(2 + i)})
				for round := range 10 {
					if i < 2 {
						if err := f.Repair(read); err != nil {
							t.Error(err)
						}
						continue
					}
					if _, err := f.AddNetwork(all[i%networks]); err != nil {
						t.Error(err)
					}
					p := port("tcp", "", uint16(20000+i), ip, 80)
					p.Owner = fmt.Sprint(i, round)
					write(i, &p)
					if err := f.AddPorts([]firewall.Port{p}); err != nil {
						t.Error(err)
					}
					if round%2 == 0 {
						if err := f.RemovePorts([]firewall.Port{p}); err != nil {
							t.Error(err)
						}
						write(i, nil)
					}
				}
			})
		}
		wg.Wait()
		networksNow, ports, _ := read()
		if findings, err := firewall.Open(nil, "").Check(networksNow, ports); err != nil || len(findings) > 0 {
			t.Errorf("check: %v, %v", findings, err)
		}
	})
}
