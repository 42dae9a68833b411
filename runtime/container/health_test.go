package container

import (
	"testing"
	"time"
)

func TestHealthFollowsDockersRules(t *testing.T) {
	begun := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	check := HealthCheck{Test: []string{"CMD", "true"}, StartPeriod: 10 * time.Second}.WithDefaults()
	type step struct {
		after  time.Duration
		code   int
		want   string
		streak int
	}
	for name, steps := range map[string][]step{
		"three failures in a row": {
			{11 * time.Second, 1, Starting, 1},
			{12 * time.Second, 0, Healthy, 0},
			{13 * time.Second, 1, Healthy, 1},
			{14 * time.Second, -1, Healthy, 2},
			{15 * time.Second, 2, Unhealthy, 3},
			{16 * time.Second, 1, Unhealthy, 4},
			{17 * time.Second, 0, Healthy, 0},
		},
		"the start period": {
			{1 * time.Second, 1, Starting, 0}, {9 * time.Second, 1, Starting, 0}, {10 * time.Second, 1, Starting, 1},
		},
		"a success ends the start period": {
			{1 * time.Second, 0, Healthy, 0}, {2 * time.Second, 1, Healthy, 1}, {3 * time.Second, 1, Healthy, 2}, {4 * time.Second, 1, Unhealthy, 3},
		},
	} {
		now := Health{Run: begun, Status: Starting}
		for i, s := range steps {
			now = check.Next(now, HealthProbe{Start: begun.Add(s.after), ExitCode: s.code})
			if now.Status != s.want || now.FailingStreak != s.streak {
				t.Errorf("%s: step %d: %s, %d failures; want %s, %d", name, i, now.Status, now.FailingStreak, s.want, s.streak)
			}
		}
		if len(now.Log) != min(len(steps), 5) || now.Log[len(now.Log)-1].ExitCode != steps[len(steps)-1].code {
			t.Errorf("%s: log %+v", name, now.Log)
		}
	}
}
