package idmap_test

import (
	"testing"

	"ctr/internal/idmap"
)

func TestMap(t *testing.T) {
	t.Parallel()
	m := idmap.Map{
		UIDs: []idmap.Range{{Inside: 0, Outside: 100000, Size: 1000}, {Inside: 1000, Outside: 300000, Size: 10}},
		GIDs: []idmap.Range{{Inside: 0, Outside: 150000, Size: 65536}},
	}
	for _, test := range []struct {
		uid, gid           int
		outsideU, outsideG int
		ok                 bool
	}{
		{0, 0, 100000, 150000, true},
		{999, 1, 100999, 150001, true},
		{1000, 65535, 300000, 215535, true},
		{1009, 5, 300009, 150005, true},
		{1010, 5, idmap.Overflow, 150005, false},
		{0, 65536, 100000, idmap.Overflow, false},
		{-1, 0, idmap.Overflow, 150000, false},
	} {
		u, g, ok := m.Outside(test.uid, test.gid)
		if u != test.outsideU || g != test.outsideG || ok != test.ok {
			t.Errorf("%d:%d: got %d:%d, %v", test.uid, test.gid, u, g, ok)
		}
		if !test.ok {
			continue
		}
		if u, g := m.Inside(u, g); u != test.uid || g != test.gid {
			t.Errorf("%d:%d: came back as %d:%d", test.uid, test.gid, u, g)
		}
	}
	if u, g := m.Inside(0, 149999); u != idmap.Overflow || g != idmap.Overflow {
		t.Errorf("the host's root: got %d:%d", u, g)
	}
	var none idmap.Map
	if u, g, ok := none.Outside(7, 8); u != 7 || g != 8 || !ok || !none.IsZero() {
		t.Errorf("no map: got %d:%d, %v", u, g, ok)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for want, ranges := range map[string][]idmap.Range{
		"":                                    {{Outside: 100000, Size: 65536}},
		"the range has no ID for root":        {{Inside: 1, Outside: 100000, Size: 65536}},
		"no such range of IDs: 100000:0":      {{Outside: 200000, Size: 10}, {Inside: 10, Outside: 100000}},
		"no such range of IDs: 4294967290:10": {{Outside: 4294967290, Size: 10}},
		"the ranges overlap":                  {{Outside: 100000, Size: 10}, {Inside: 10, Outside: 100009, Size: 10}},
		"a range that holds the host's root protects nothing": {{Size: 65536}},
	} {
		got := ""
		if err := (idmap.Map{UIDs: ranges, GIDs: ranges}).Check(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%v: got %q, want %q", ranges, got, want)
		}
	}
}
