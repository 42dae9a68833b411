package early

import (
	"strings"
	"testing"
)

func TestCommand(t *testing.T) {
	for line, want := range map[string]string{
		"ctr":                      "",
		"ctr run busybox":          "run",
		"ctr --timing run busybox": "run",
		"ctr --root /run --run-root=/start start": "start",
		"ctr container run busybox":               "run",
		"ctr -D ps run":                           "ps",
		"ctr --root":                              "",
		"ctr-monitor standby":                     "standby",
	} {
		if got := command(strings.Fields(line)); got != want {
			t.Errorf("%q: command %q, want %q", line, got, want)
		}
	}
}

func TestOwnNetwork(t *testing.T) {
	for line, want := range map[string]bool{
		"ctr run busybox":                           true,
		"ctr run --network mynet busybox":           true,
		"ctr run --network=none busybox":            true,
		"ctr run --network host busybox":            false,
		"ctr run --net=container:web busybox":       false,
		"ctr run --network ns:/run/netns/x busybox": false,
		"ctr run busybox --network":                 true,
	} {
		if got := ownNetwork(strings.Fields(line)); got != want {
			t.Errorf("%q: own network %v, want %v", line, got, want)
		}
	}
}
