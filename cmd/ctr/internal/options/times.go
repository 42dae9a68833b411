package options

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Time parses the argument of --since and --until: a time, seconds since 1970 (with a fraction, if wanted), or a duration
// that is counted back from now. Times without a zone are local ones.
func Time(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil && s != "0" {
		return now.Add(-d), nil
	}
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15Z07:00", "2006-01-02Z07:00",
		"2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02",
	} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	whole, fraction, _ := strings.Cut(s, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err == nil && fraction != "" {
		fraction = (fraction + "000000000")[:9]
		var nanos uint64
		if nanos, err = strconv.ParseUint(fraction, 10, 63); err == nil {
			return time.Unix(seconds, int64(nanos)), nil
		}
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("failed to parse value as time or duration: %q", s)
	}
	return time.Unix(seconds, 0), nil
}

// Tail parses the argument of --tail: "all" or a number. -1 is all.
func Tail(s string) (int, error) {
	if s == "" || s == "all" {
		return -1, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("invalid value for tail: %q: want a number or \"all\"", s)
	}
	return max(n, -1), nil
}
