package engine

import (
	"fmt"

	"github.com/opencontainers/cgroups"
)

// Stats is what a container uses, as its cgroup counts it.
type Stats = cgroups.Stats

// ReadStats reads what the container uses now.
func ReadStats(stateDir, id string) (*Stats, error) {
	r, err := readRecord(stateDir, id)
	if err != nil {
		return nil, err
	}
	m, err := r.cgroup()
	if err != nil {
		return nil, err
	}
	s, err := m.GetStats()
	if err != nil {
		return nil, fmt.Errorf("read cgroup: %w", err)
	}
	return s, nil
}

// Processes returns the PIDs of all processes in the container's cgroup, of those that it made in it too.
func Processes(stateDir, id string) ([]int, error) {
	r, err := readRecord(stateDir, id)
	if err != nil {
		return nil, err
	}
	m, err := r.cgroup()
	if err != nil {
		return nil, err
	}
	pids, err := m.GetAllPids()
	if err != nil {
		return nil, fmt.Errorf("read cgroup: %w", err)
	}
	return pids, nil
}
