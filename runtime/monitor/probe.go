package monitor

import (
	"ctr/runtime/keep"
)

// probe is the container's health check; nil: it has none.
func (m *monitor) probe() *keep.Probe {
	if !m.c.Spec.Health.Enabled() {
		return nil
	}
	h := m.c.Spec.Health.WithDefaults()
	first := h.Interval
	if h.StartPeriod > 0 {
		first = h.StartInterval
	}
	return &keep.Probe{
		Args: []string{ProbeName, m.in.Roots.Data, m.in.Roots.Run, m.c.ID}, Interval: h.Interval, Early: h.StartInterval, Wait: first,
	}
}
