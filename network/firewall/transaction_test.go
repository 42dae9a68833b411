package firewall

import (
	"net/netip"
	"os/exec"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/internal/testhost"
)

// A teardown that was late: between its look and its transaction somebody else publishes the same port. It looks again, and
// leaves the port to its new owner.
func TestLooksAgain(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		f := Open(nil, "")
		network := Network{Bridge: "ctr0", Prefixes: []netip.Prefix{netip.MustParsePrefix("172.17.0.0/16")}}
		if _, err := f.AddNetwork(network); err != nil {
			t.Fatal(err)
		}
		published := func(owner, ip string) []Port {
			return []Port{{Protocol: "tcp", HostPort: 80, Bridge: "ctr0", ContainerIP: netip.MustParseAddr(ip), ContainerPort: 80, Owner: owner}}
		}
		if err := f.AddPorts(published("old", "172.17.0.2")); err != nil {
			t.Fatal(err)
		}
		// As RemovePorts does it.
		looks := 0
		err := f.update(func(s *session) (bool, error) {
			looks++
			have, err := s.elements(portSets()...)
			if err != nil {
				return false, err
			}
			if looks == 1 {
				if err := f.AddPorts(published("new", "172.17.0.3")); err != nil {
					return false, err
				}
			}
			remove := slices.DeleteFunc(have, func(e element) bool { return e.comment != "old" })
			return len(remove) > 0, s.remove(remove)
		})
		if err != nil || looks != 2 {
			t.Errorf("looked %d times, %v; want 2", looks, err)
		}
		if findings, err := f.Check([]Network{network}, published("new", "172.17.0.3")); err != nil || len(findings) > 0 {
			t.Errorf("after the late teardown: %v, %v", findings, err)
		}
	})
}

// Repair takes nothing from whoever starts meanwhile.
func TestRepairLooksAgain(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		f := Open(nil, "")
		networks := []Network{{Bridge: "ctr0", Prefixes: []netip.Prefix{netip.MustParsePrefix("172.17.0.0/16")}}}
		looks := 0
		err := f.Repair(func() ([]Network, []Port, error) {
			looks++
			seen := slices.Clone(networks)
			if looks == 1 {
				networks = append(networks, Network{Bridge: "br1", Prefixes: []netip.Prefix{netip.MustParsePrefix("172.18.0.0/16")}})
				if _, err := f.AddNetwork(networks[1]); err != nil {
					return nil, nil, err
				}
			}
			return seen, nil, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if findings, err := f.Check(networks, nil); err != nil || len(findings) > 0 {
			t.Errorf("after %d looks: %v, %v", looks, findings, err)
		}
	})
}

// A transaction that is refused leaves the session in order, whatever it was refused for.
func TestRefused(t *testing.T) {
	t.Parallel()
	testhost.Run(t, func(t *testing.T, _ *testhost.Host) {
		s, err := dial(nil, 1, "ctr")
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		commit := func(change func(), want error) {
			t.Helper()
			change()
			if err := s.commit(); err != want { //nolint:errorlint // the kernel's own answer, once
				t.Errorf("commit: %v, want %v", err, want)
			}
			if tables, err := s.kernel.ListTables(); err != nil {
				t.Errorf("list tables afterwards: %v, %v", tables, err)
			}
		}
		add := func() { s.gathered.AddTable(s.table) }
		remove := func() { s.gathered.DelTable(s.table) }
		commit(func() {}, nil)
		commit(remove, unix.ENOENT)
		commit(func() { remove(); remove(); add() }, unix.ENOENT)
		commit(add, nil)
		if s.generation, err = s.currentGeneration(); err != nil {
			t.Fatal(err)
		}
		commit(func() { remove(); add() }, nil)
		commit(func() { remove(); add() }, nil) // after its own
		if out, err := exec.Command("nft", "add", "table", "ip", "somebody").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		commit(remove, unix.ERESTART)
		s.generation = 0
		commit(remove, nil)
	})
}
