package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ctr/internal/durable"
	"ctr/internal/proc"
	"ctr/runtime/container"
)

const (
	recordVersion = 1
	recordFile    = "engine.json"
	libcontainers = "engine." // followed by the ID: libcontainer's folder
)

// record is what is needed to undo a container, whatever became of its maker. It is written before libcontainer starts,
// which leaves cgroups and a waiting init behind when it is killed, and again when the init is known.
type record struct {
	Version int     `json:"version"`
	Cgroup  string  `json:"cgroup"` // from the root of each hierarchy
	Init    proc.ID `json:"init,omitzero"`
}

func (r record) write(stateDir, id string) error {
	r.Version = recordVersion
	return durable.WriteJSON(filepath.Join(stateDir, id, recordFile), r, durable.NoFsync)
}

// readRecord returns container.ErrNotRunning if the engine has nothing of the container.
func readRecord(stateDir, id string) (record, error) {
	var r record
	err := durable.ReadJSON(filepath.Join(stateDir, id, recordFile), &r)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return r, container.ErrNotRunning
	case errors.Is(err, durable.ErrDamaged):
		if r, ok := recordOfState(stateDir, id); ok {
			return r, nil
		}
		return r, fmt.Errorf("read engine record: %w", err)
	case err != nil:
		return r, fmt.Errorf("read engine record: %w", err)
	case r.Version > recordVersion:
		return r, fmt.Errorf("read engine record: %w: version %d is newer than %d", durable.ErrDamaged, r.Version, recordVersion)
	case filepath.Base(r.Cgroup) != id:
		return r, fmt.Errorf("read engine record: %w: cgroup %q", durable.ErrDamaged, r.Cgroup)
	}
	return r, nil
}

// recordOfState takes what a damaged record told from libcontainer's own.
func recordOfState(stateDir, id string) (record, bool) {
	root, name := libcontainerDir(stateDir, id)
	var state struct {
		PID    int    `json:"init_process_pid"`
		Start  uint64 `json:"init_process_start"`
		Config struct {
			Cgroups struct {
				Path string `json:"path"`
			} `json:"cgroups"`
		} `json:"config"`
	}
	err := durable.ReadJSON(filepath.Join(root, name, "state.json"), &state)
	r := record{Version: recordVersion, Cgroup: state.Config.Cgroups.Path, Init: proc.ID{PID: state.PID, Start: state.Start}}
	return r, err == nil && r.Cgroup != ""
}

// libcontainerDir splits libcontainer's folder into what it calls root and ID.
func libcontainerDir(stateDir, id string) (root, name string) {
	return filepath.Join(stateDir, id), libcontainers + id
}
