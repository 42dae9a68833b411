package monitor

import (
	"errors"
	"fmt"

	"ctr/network/ports"
)

// nameHolder says which container has a port that is in use, if it is one of this installation.
func (m *monitor) nameHolder(err error) error {
	var inUse *ports.InUseError
	if !errors.As(err, &inUse) || inUse.PID == 0 {
		return err
	}
	all, _ := m.in.Containers.List()
	for _, c := range all {
		if record, readErr := c.ReadMonitor(); readErr == nil && record.Monitor.PID == inUse.PID && record.Monitor.Alive() {
			return fmt.Errorf("%w, which is container %s", err, c.Name)
		}
	}
	return err
}
