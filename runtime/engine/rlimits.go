package engine

import (
	"fmt"
	"math"
	"slices"

	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	"ctr/runtime/container"
)

// rlimitNumbers are setrlimit(2)'s, by Docker's names.
var rlimitNumbers = map[string]int{
	"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA,
	"fsize": unix.RLIMIT_FSIZE, "locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK,
	"msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE, "nofile": unix.RLIMIT_NOFILE,
	"nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS, "rtprio": unix.RLIMIT_RTPRIO, "rttime": unix.RLIMIT_RTTIME,
	"sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
}

// defaultNofile is that of Docker since version 29. Without it, the limit would be that of whoever typed the command.
var defaultNofile = container.Ulimit{Name: "nofile", Soft: 1024, Hard: 524288}

// rlimits translates --ulimit. Without CAP_SYS_RESOURCE a limit above our own hard one cannot be set, and prlimit(2) would
// fail the start: it is clipped, with a warning if somebody asked for it.
func rlimits(asked []container.Ulimit, h host) (out []configs.Rlimit, warnings []string, err error) {
	for i, u := range withDefaultNofile(asked) {
		number, ok := rlimitNumbers[u.Name]
		if !ok {
			return nil, nil, fmt.Errorf("invalid ulimit type: %s", u.Name)
		}
		soft, hard := rlimitValue(u.Soft), rlimitValue(u.Hard)
		if soft > hard {
			return nil, nil, fmt.Errorf("ulimit soft limit must be less than or equal to hard limit: %d > %d", u.Soft, u.Hard)
		}
		if most, bounded := h.hardLimits[u.Name]; bounded && hard > most {
			if i < len(asked) {
				warnings = append(warnings, fmt.Sprintf("ulimit %s: %d is above this host's hard limit and was lowered to %d", u.Name, u.Hard, most))
			}
			hard, soft = most, min(soft, most)
		}
		out = append(out, configs.Rlimit{Type: number, Hard: hard, Soft: soft})
	}
	return out, warnings, nil
}

// withDefaultNofile appends the default unless nofile is among the asked.
func withDefaultNofile(asked []container.Ulimit) []container.Ulimit {
	for _, u := range asked {
		if u.Name == defaultNofile.Name {
			return asked
		}
	}
	return append(slices.Clip(asked), defaultNofile)
}

func rlimitValue(v int64) uint64 {
	if v < 0 {
		return math.MaxUint64 // RLIM_INFINITY
	}
	return uint64(v)
}

// oomScoreAdj is what the container's first process gets: what was asked for, or Docker's 0. It is nil when that is what it
// has anyway.
func oomScoreAdj(asked *int, h host) (value *int, warning string) {
	v := 0
	if asked != nil {
		v = *asked
	}
	if v < h.oomScoreAdj {
		if asked != nil {
			warning = fmt.Sprintf("oom-score-adj %d is below this host's least and was raised to %d", v, h.oomScoreAdj)
		}
		v = h.oomScoreAdj
	}
	return &v, warning
}
