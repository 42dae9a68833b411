package ipam

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"ctr/internal/proc"
)

func TestNextSubnet(t *testing.T) {
	t.Parallel()
	prefixes := func(texts ...string) (all []netip.Prefix) {
		for _, s := range texts {
			all = append(all, netip.MustParsePrefix(s))
		}
		return all
	}
	for name, tc := range map[string]struct {
		taken []netip.Prefix
		want  string // empty: ErrExhausted
	}{
		"nothing taken":                {nil, "172.17.0.0/16"},
		"the first":                    {prefixes("172.17.0.0/16"), "172.18.0.0/16"},
		"a part of the first":          {prefixes("172.17.255.0/24"), "172.18.0.0/16"},
		"one address":                  {prefixes("172.17.3.4/32"), "172.18.0.0/16"},
		"a gap":                        {prefixes("172.17.0.0/16", "172.19.0.0/16"), "172.18.0.0/16"},
		"more than a pool":             {prefixes("172.16.0.0/12"), "192.168.0.0/20"},
		"from the middle of a pool":    {prefixes("172.16.0.0/12", "192.168.0.0/19"), "192.168.32.0/20"},
		"a part in the middle":         {prefixes("172.16.0.0/12", "192.168.17.1/32"), "192.168.0.0/20"},
		"everything":                   {prefixes("172.16.0.0/12", "192.168.0.0/16"), ""},
		"a default route, as it seems": {prefixes("0.0.0.0/0"), ""},
		"another family":               {prefixes("::/0"), "172.17.0.0/16"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := NextSubnet(LocalPools(), tc.taken)
			if tc.want == "" {
				if !errors.Is(err, ErrExhausted) {
					t.Errorf("got %v, %v", got, err)
				}
				return
			}
			if err != nil || got.String() != tc.want {
				t.Errorf("got %v, %v, want %s", got, err, tc.want)
			}
		})
	}
}

func TestLocalPoolsHold31Networks(t *testing.T) {
	t.Parallel()
	var taken []netip.Prefix
	for {
		p, err := NextSubnet(LocalPools(), taken)
		if err != nil {
			break
		}
		taken = append(taken, p)
	}
	if len(taken) != 31 || taken[30].String() != "192.168.240.0/20" {
		t.Errorf("%d networks: %v", len(taken), taken)
	}
}

func TestULAPoolIsStableAndLocal(t *testing.T) {
	t.Parallel()
	a, b := ULAPool("one"), ULAPool("two")
	if a != ULAPool("one") || a == b {
		t.Errorf("pools %v and %v", a, b)
	}
	if !netip.MustParsePrefix("fd00::/8").Contains(a.Base.Addr()) || a.Base.Bits() != 48 || a.Bits != 64 {
		t.Errorf("pool %v", a)
	}
	first, err := NextSubnet([]Pool{a}, nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := NextSubnet([]Pool{a}, []netip.Prefix{first})
	if err != nil || second.Bits() != 64 || second.Overlaps(first) || !a.Base.Overlaps(second) {
		t.Errorf("subnets %v and %v, %v", first, second, err)
	}
}

func TestRange(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		r    Range
		want []string // the first few
	}{
		"a net":      {Range{Subnet: netip.MustParsePrefix("10.0.0.0/29")}, []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"}},
		"reserved":   {Range{Subnet: netip.MustParsePrefix("10.0.0.0/30"), Reserved: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}, []string{"10.0.0.2"}},
		"within":     {Range{Subnet: netip.MustParsePrefix("10.0.0.0/16"), Within: netip.MustParsePrefix("10.0.5.0/31")}, []string{"10.0.5.0", "10.0.5.1"}},
		"/31":        {Range{Subnet: netip.MustParsePrefix("10.0.0.0/31")}, []string{"10.0.0.0", "10.0.0.1"}},
		"/32":        {Range{Subnet: netip.MustParsePrefix("10.0.0.9/32")}, []string{"10.0.0.9"}},
		"end of v4":  {Range{Subnet: netip.MustParsePrefix("255.255.255.252/30")}, []string{"255.255.255.253", "255.255.255.254"}},
		"IPv6 /126":  {Range{Subnet: netip.MustParsePrefix("fd00::/126")}, []string{"fd00::1", "fd00::2", "fd00::3"}},
		"IPv6 range": {Range{Subnet: netip.MustParsePrefix("fd00::/64"), Within: netip.MustParsePrefix("fd00::10/127")}, []string{"fd00::10", "fd00::11"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for a := range tc.r.Free() {
				got = append(got, a.String())
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			if first := tc.r.First().String(); first != tc.want[0] {
				t.Errorf("the first is %s", first)
			}
		})
	}
}

// dead returns the ID of a process that has ended.
func dead(t testing.TB) proc.ID {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := proc.Of(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	return id
}

var small = Range{Subnet: netip.MustParsePrefix("10.0.0.0/29"), Reserved: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}

func lease(id string, owners ...proc.ID) Lease {
	return Lease{ID: id, Name: "name-" + id, Owners: owners, Record: "/run/a folder/" + id}
}

func TestTakeLowest(t *testing.T) {
	t.Parallel()
	l := Leases{t.TempDir()}
	self := proc.Self()
	for _, want := range []string{"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"} {
		got, _, err := l.TakeLowest(small, lease("id", self))
		if err != nil || got.String() != want {
			t.Fatalf("got %s, %v, want %s", got, err, want)
		}
	}
	if got, _, err := l.TakeLowest(small, lease("id", self)); !errors.Is(err, ErrExhausted) {
		t.Errorf("a full subnet gave %s, %v", got, err)
	}
	if err := l.Release(netip.MustParseAddr("10.0.0.4"), "id", self); err != nil {
		t.Fatal(err)
	}
	if got, _, err := l.TakeLowest(small, lease("id", self)); err != nil || got.String() != "10.0.0.4" {
		t.Errorf("after a release: %s, %v", got, err)
	}
}

func TestDeadLeaseIsTakenAtOnce(t *testing.T) {
	t.Parallel()
	l := Leases{t.TempDir()}
	gone := lease("gone", dead(t))
	gone.Address = netip.MustParseAddr("10.0.0.3")
	if _, err := l.Take(gone); err != nil {
		t.Fatal(err)
	}
	got, dead, err := l.TakeLowest(small, lease("new", proc.Self()))
	if err != nil || got.String() != "10.0.0.2" {
		t.Fatalf("got %s, %v", got, err)
	}
	if len(dead) != 1 || dead[0].ID != "gone" || dead[0].Record != "/run/a folder/gone" || dead[0].Address != gone.Address {
		t.Errorf("dead leases: %+v", dead)
	}
	if got, _, err := l.TakeLowest(small, lease("new", proc.Self())); err != nil || got != gone.Address {
		t.Errorf("the dead one's address was not given: %s, %v", got, err)
	}
}

// Of hundreds of leases only a few are examined at each start, but a full subnet gives what the dead hold.
func TestFullRangeGivesTheDeadOnes(t *testing.T) {
	t.Parallel()
	l := Leases{t.TempDir()}
	r := Range{Subnet: netip.MustParsePrefix("10.0.0.0/24")}
	gone, self := dead(t), proc.Self()
	for a := range r.Free() {
		owner := self
		if b := a.As4(); b[3] > 200 {
			owner = gone
		}
		one := lease("id", owner)
		one.Address = a
		if _, err := l.Take(one); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[netip.Addr]bool{}
	for range 54 { // 201 to 254
		got, _, err := l.TakeLowest(r, lease("new", self))
		if err != nil || got.As4()[3] <= 200 || seen[got] {
			t.Fatalf("got %s, %v", got, err)
		}
		seen[got] = true
	}
	if got, _, err := l.TakeLowest(r, lease("new", self)); !errors.Is(err, ErrExhausted) {
		t.Errorf("a full range gave %s, %v", got, err)
	}
}

func TestTakeRefusesWhatLives(t *testing.T) {
	t.Parallel()
	l := Leases{t.TempDir()}
	one := lease("one", proc.Self())
	one.Address = netip.MustParseAddr("10.0.0.2")
	if _, err := l.Take(one); err != nil {
		t.Fatal(err)
	}
	two := lease("two", proc.Self())
	two.Address = one.Address
	if _, err := l.Take(two); !errors.Is(err, ErrInUse) {
		t.Errorf("took a live lease: %v", err)
	}
	got, err := l.Get(one.Address)
	if err != nil || got.ID != "one" || got.Name != "name-one" || !got.Alive() {
		t.Errorf("the lease is %+v, %v", got, err)
	}
}

func TestLeaseLivesWhileOneOwnerDoes(t *testing.T) {
	t.Parallel()
	l := Leases{t.TempDir()}
	one := lease("one", dead(t))
	one.Address = netip.MustParseAddr("10.0.0.2")
	if _, err := l.Take(one); err != nil {
		t.Fatal(err)
	}
	if err := l.Own(one.Address, "other", proc.Self()); err == nil {
		t.Error("somebody else became an owner")
	}
	if err := l.Own(one.Address, "one", proc.Self()); err != nil {
		t.Fatal(err)
	}
	got, err := l.Get(one.Address)
	if err != nil || len(got.Owners) != 2 || !got.Alive() {
		t.Errorf("the lease is %+v, %v", got, err)
	}
	entries, err := os.ReadDir(l.Dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
}

func TestReleaseLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	l := Leases{t.TempDir()}
	one := lease("one", proc.Self())
	one.Address = netip.MustParseAddr("10.0.0.2")
	if _, err := l.Take(one); err != nil {
		t.Fatal(err)
	}
	earlier := proc.ID{PID: os.Getpid(), Start: 1}
	for _, err := range []error{
		l.Release(one.Address, "two", proc.Self()),
		l.Release(one.Address, "one", earlier), // the same container, started before
		l.ReleaseAll("one", earlier),
		l.Release(netip.MustParseAddr("10.0.0.3"), "one", proc.Self()),
		Leases{filepath.Join(l.Dir, "missing")}.ReleaseAll("one", proc.Self()),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if _, err := l.Get(one.Address); err != nil {
		t.Errorf("the lease is gone: %v", err)
	}
	if err := l.ReleaseAll("one", proc.Self()); err != nil {
		t.Error(err)
	}
	if _, err := l.Get(one.Address); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the lease is still there: %v", err)
	}
}

// A file that is no lease belongs to nobody.
func TestDamagedLeaseIsReplaced(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"x", "id name 12 /r", "id name 12:x /r", "id name  /r"} {
		l := Leases{t.TempDir()}
		if err := os.Symlink(text, filepath.Join(l.Dir, "10.0.0.2")); err != nil {
			t.Fatal(err)
		}
		if got, _, err := l.TakeLowest(small, lease("id", proc.Self())); err != nil || got.String() != "10.0.0.2" {
			t.Errorf("lease %q: got %s, %v", text, got, err)
		}
	}
}

// Everybody gets an address of their own, though half of the leases have to be reclaimed from the dead at the same time.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	l := Leases{t.TempDir()}
	r := Range{Subnet: netip.MustParsePrefix("10.0.0.0/26")}
	gone := dead(t)
	for range 30 {
		if _, _, err := l.TakeLowest(r, lease("gone", gone)); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	seen := map[netip.Addr]string{}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			id := fmt.Sprintf("id%d", i)
			a, _, err := l.TakeLowest(r, lease(id, proc.Self()))
			mu.Lock()
			defer mu.Unlock()
			if err != nil || seen[a] != "" {
				t.Errorf("%s got %s, %v, which %q has", id, a, err, seen[a])
			}
			seen[a] = id
		})
	}
	wg.Wait()
	for a, id := range seen {
		if got, err := l.Get(a); err != nil || got.ID != id {
			t.Errorf("the lease of %s is %s's, %v, not %s's", a, got.ID, err, id)
		}
	}
}

func BenchmarkTakeLowest(b *testing.B) {
	for _, others := range []int{0, 500} {
		b.Run(fmt.Sprintf("%dLeases", others), func(b *testing.B) {
			l := Leases{shm(b)}
			r := Range{Subnet: netip.MustParsePrefix("172.18.0.0/16")}
			one := lease(fmt.Sprintf("%064x", 1), proc.Self())
			for range others {
				if _, _, err := l.TakeLowest(r, one); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				a, _, err := l.TakeLowest(r, one)
				if err != nil {
					b.Fatal(err)
				}
				if err := l.Release(a, one.ID, one.Owners[0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// shm returns a folder on a file system like that of /run.
func shm(b *testing.B) string {
	dir, err := os.MkdirTemp("/dev/shm", "ctr-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
