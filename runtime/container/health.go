package container

import (
	"path/filepath"
	"slices"
	"time"

	"ctr/internal/durable"
)

// HealthVersion is the version of health.json that this program writes.
const HealthVersion = 1

// The words for how a container with a health check is.
const (
	Starting  = "starting"
	Healthy   = "healthy"
	Unhealthy = "unhealthy"
)

// Health is health.json: what the health checks of the present run have found.
type Health struct {
	Version       int           `json:"version"`
	Run           time.Time     `json:"run"` // when the run began that it is about
	Status        string        `json:"status"`
	FailingStreak int           `json:"failingStreak,omitempty"`
	Log           []HealthProbe `json:"log,omitempty"` // the last five
}

// HealthProbe is the result of one check.
type HealthProbe struct {
	Start    time.Time `json:"start"`
	End      time.Time `json:"end"`
	ExitCode int       `json:"exitCode"` // -1: it could not be run, or took too long
	Output   string    `json:"output,omitempty"`
}

// Docker's defaults.
const (
	defaultInterval      = 30 * time.Second
	defaultTimeout       = 30 * time.Second
	defaultStartInterval = 5 * time.Second
	defaultRetries       = 3
)

// healthLog is how many results are kept.
const healthLog = 5

// Enabled tells whether there is anything to check.
func (h *HealthCheck) Enabled() bool { return h != nil && len(h.Test) > 1 && h.Test[0] != "NONE" }

// WithDefaults returns the check with Docker's values for what was not set.
func (h HealthCheck) WithDefaults() HealthCheck {
	for _, d := range []struct {
		value *time.Duration
		unset time.Duration
	}{{&h.Interval, defaultInterval}, {&h.Timeout, defaultTimeout}, {&h.StartInterval, defaultStartInterval}} {
		if *d.value == 0 {
			*d.value = d.unset
		}
	}
	if h.Retries == 0 {
		h.Retries = defaultRetries
	}
	return h
}

// Merge fills what the user left open with what the image says.
func (h HealthCheck) Merge(image HealthCheck) HealthCheck {
	if len(h.Test) == 0 {
		h.Test = image.Test
	}
	for _, d := range []struct {
		value *time.Duration
		image time.Duration
	}{
		{&h.Interval, image.Interval},
		{&h.Timeout, image.Timeout},
		{&h.StartPeriod, image.StartPeriod},
		{&h.StartInterval, image.StartInterval},
	} {
		if *d.value == 0 {
			*d.value = d.image
		}
	}
	if h.Retries == 0 {
		h.Retries = image.Retries
	}
	return h
}

// Early tells whether a container that began to run at the time is still given its start period.
func (h HealthCheck) Early(now Health, at time.Time) bool {
	return now.Status == Starting && at.Sub(now.Run) < h.StartPeriod
}

// Next returns the health after one more result, by Docker's rules: failures in the start period do not count, until the
// first success. The check has its defaults.
func (h HealthCheck) Next(now Health, p HealthProbe) Health {
	switch {
	case p.ExitCode == 0:
		now.Status, now.FailingStreak = Healthy, 0
	case !h.Early(now, p.Start):
		if now.FailingStreak++; now.FailingStreak >= h.Retries {
			now.Status = Unhealthy
		}
	}
	now.Log = append(slices.Clone(now.Log), p)
	now.Log = now.Log[max(0, len(now.Log)-healthLog):]
	return now
}

// Health returns how the run that began at the time is; nil without a health check.
func (c *Container) Health(began time.Time) *Health {
	if !c.Spec.Health.Enabled() {
		return nil
	}
	var h Health
	if err := durable.ReadJSON(filepath.Join(c.RunDir, healthFile), &h); err != nil || !h.Run.Equal(began) {
		return &Health{Run: began, Status: Starting} // nobody has looked yet
	}
	return &h
}

// WriteHealth replaces the record. Only the run's checks write it, one after the other.
func (c *Container) WriteHealth(h Health) error {
	h.Version = HealthVersion
	return durable.WriteJSON(filepath.Join(c.RunDir, healthFile), h, durable.NoFsync)
}
