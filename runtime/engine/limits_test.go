package engine

import (
	"maps"
	"slices"
	"testing"

	"ctr/runtime/container"
)

func TestParseList(t *testing.T) {
	for in, want := range map[string][]int{"0": {0}, "0-2,5": {0, 1, 2, 5}, "3,3": {3}} {
		got, err := parseList(in)
		if err != nil || !slices.Equal(slices.Sorted(maps.Keys(got)), want) {
			t.Errorf("%q: %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "a", "1-", "-1", "3-1", "1,,2", "0-99999", "0-8193", " 1"} {
		if got, err := parseList(in); err == nil {
			t.Errorf("%q: %v, want an error", in, got)
		}
	}
}

func TestCheckLimits(t *testing.T) {
	for _, r := range []container.Resources{
		{CPUShares: 1},
		{CPUPeriod: 999},
		{CPUPeriod: 1000001},
		{CPUQuota: 999},
		{NanoCPUs: 1e6},
		{NanoCPUs: 1e15},
		{CpusetCpus: "x"},
		{CpusetCpus: "8191"},
	} {
		if err := CheckLimits(r); err == nil {
			t.Errorf("%+v: no error", r)
		}
	}
	for _, r := range []container.Resources{{}, {CPUShares: 2, CPUPeriod: 1000, CPUQuota: 1000}, {CPUQuota: -1}, {NanoCPUs: 5e8}, {CpusetCpus: "0", CpusetMems: "0"}} {
		if err := CheckLimits(r); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
}
