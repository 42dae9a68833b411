package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ctr/internal/durable"
	"ctr/internal/proc"
)

// Status is one word for what a container does now, as Docker spells it.
type Status string

// The statuses.
const (
	Created    Status = "created"
	Running    Status = "running"
	Paused     Status = "paused"
	Restarting Status = "restarting"
	Removing   Status = "removing"
	Exited     Status = "exited"
	Dead       Status = "dead"
)

// ExitUnknown is the exit code of a container whose end nobody saw, because the machine or its monitor went first. Docker
// reports the same.
const ExitUnknown = 255

// State is what a container does now. It is derived from the kernel and the records at each call, never kept.
type State struct {
	Status     Status
	PID        int // the init's, in the caller's PID namespace; 0 unless it lives
	ExitCode   int
	StartedAt  time.Time // zero: never
	FinishedAt time.Time // zero: never, or still running
	Error      string    // why the last start failed
	OOMKilled  bool
	Restarts   int
	Health     *Health // nil: nobody checks
}

// Running tells whether the container has a process, paused or not. One whose process has ended, while its monitor has yet to
// record how, has the status Running and none.
func (s State) Running() bool { return s.PID != 0 && (s.Status == Running || s.Status == Paused) }

// Active tells whether the container runs, or its monitor has yet to take it down or to start it again.
func (s State) Active() bool {
	return s.Status == Running || s.Status == Paused || s.Status == Restarting
}

// ExitVersion is the version of exit.json that this program writes.
const ExitVersion = 1

// Exit is exit.json: the last run of a container. It is written when a run begins, without an end, and again when it ends.
type Exit struct {
	Version    int       `json:"version"`
	StartedAt  time.Time `json:"startedAt,omitzero"`
	FinishedAt time.Time `json:"finishedAt,omitzero"`
	ExitCode   int       `json:"exitCode"`
	Error      string    `json:"error,omitempty"`
	OOMKilled  bool      `json:"oomKilled,omitempty"`
	Restarts   int       `json:"restarts,omitempty"`
	Health     *Health   `json:"health,omitempty"` // as it was at the end
	// Stopped says that the user ended it: a restart policy does not bring it back.
	Stopped bool `json:"stopped,omitempty"`
}

// MonitorVersion is the version of monitor.json that this program writes.
const MonitorVersion = 1

// Monitor is monitor.json: who keeps a running container.
type Monitor struct {
	Version    int       `json:"version"`
	Monitor    proc.ID   `json:"monitor"`
	Init       proc.ID   `json:"init"` // zero until there is one
	StartedAt  time.Time `json:"startedAt,omitzero"`
	Freezer    string    `json:"freezer,omitempty"` // the file that says whether it is paused
	Restarting bool      `json:"restarting,omitempty"`
	// Lingering says that the container has ended, and its monitor only keeps the sandbox for others who joined it.
	Lingering bool `json:"lingering,omitempty"`
	// TerminalLost says that the program's terminal ended with a monitor that was killed.
	TerminalLost bool `json:"terminalLost,omitempty"`
	Restarts     int  `json:"restarts,omitempty"`
	NetNSFd      int  `json:"netnsFd,omitempty"` // the monitor's descriptor of the network namespace
}

// ReadMonitor returns the record of who keeps the container; os.ErrNotExist if nobody does.
func (c *Container) ReadMonitor() (Monitor, error) {
	var m Monitor
	err := durable.ReadJSON(filepath.Join(c.RunDir, monitorFile), &m)
	return m, err
}

// WriteMonitor replaces that record. Only the monitor writes it.
func (c *Container) WriteMonitor(m Monitor) error {
	m.Version = MonitorVersion
	return durable.WriteJSON(filepath.Join(c.RunDir, monitorFile), m, durable.NoFsync)
}

// ReadExit returns the record of the last run; os.ErrNotExist if there was none.
func (c *Container) ReadExit() (Exit, error) {
	var e Exit
	err := durable.ReadJSON(filepath.Join(c.Dir, exitFile), &e)
	return e, err
}

// WriteExit replaces that record. Only who holds the container's lock writes it.
func (c *Container) WriteExit(e Exit) error {
	e.Version = ExitVersion
	return durable.WriteJSON(filepath.Join(c.Dir, exitFile), e, durable.NoFsync)
}

// State tells what the container does now. A record that cannot be read makes it Dead, with the reason in Error.
func (c *Container) State() State {
	for {
		m, err := c.ReadMonitor()
		if err == nil && m.Init.Alive() && (!m.Restarting || !m.Monitor.Alive()) {
			return c.runningState(m) // whatever the record of an earlier run says
		}
		kept := err == nil && m.Monitor.Alive() // asked before the record of the end is read: its monitor writes that first
		exit, exitErr := c.ReadExit()
		unfinished := exitErr == nil && exit.FinishedAt.IsZero() && exit.Error == ""
		switch {
		case kept && m.Restarting:
			return State{
				Status: Restarting, ExitCode: exit.ExitCode, StartedAt: exit.StartedAt, FinishedAt: exit.FinishedAt,
				Restarts: m.Restarts,
			}
		case kept && !m.StartedAt.IsZero() && exit.FinishedAt.IsZero():
			// Nobody may see an exit code before it is known.
			return State{Status: Running, StartedAt: m.StartedAt, Restarts: m.Restarts}
		}
		for _, err := range []error{exitErr, err} {
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return State{Status: Dead, Error: err.Error()}
			}
		}
		if unfinished && !kept {
			if now, _ := c.ReadMonitor(); now.Monitor != m.Monitor || now.Init != m.Init {
				continue // it was started between our two looks
			}
		}
		return endedState(exit, exitErr == nil)
	}
}

// runningState is the state while there is a live init.
func (c *Container) runningState(m Monitor) State {
	if m.StartedAt.IsZero() { // created by libcontainer, its program not yet released
		return State{Status: Created}
	}
	s := State{
		Status: Running, PID: m.Init.PID, StartedAt: m.StartedAt, Restarts: m.Restarts,
		Health: c.Health(m.StartedAt),
	}
	if frozen(m.Freezer) {
		s.Status = Paused
	}
	return s
}

// endedState is the state of a container that nobody keeps, by the record of its last run if there was one.
func endedState(exit Exit, ran bool) State {
	switch {
	case !ran:
		return State{Status: Created}
	case exit.FinishedAt.IsZero() && exit.Error == "":
		// It began and nobody saw the end.
		return State{
			Status: Exited, ExitCode: ExitUnknown, StartedAt: exit.StartedAt, Restarts: exit.Restarts,
			Error: "exit code unknown: its monitor or the machine went first",
		}
	}
	s := State{
		Status: Exited, ExitCode: exit.ExitCode, StartedAt: exit.StartedAt, FinishedAt: exit.FinishedAt,
		Error: exit.Error, OOMKilled: exit.OOMKilled, Restarts: exit.Restarts, Health: exit.Health,
	}
	if exit.StartedAt.IsZero() {
		s.Status = Created // every start has failed: Docker leaves it created
	}
	return s
}

// frozen reads freezer.state (cgroup v1) or cgroup.freeze (v2).
func frozen(file string) bool {
	if file == "" {
		return false
	}
	var line [16]byte
	b, err := proc.ReadLine(file, line[:])
	return err == nil && len(b) > 0 && (b[0] == 'F' || b[0] == '1')
}

// RequireRunning returns ErrNotRunning, in Docker's words, unless the container runs.
func (c *Container) RequireRunning() (State, error) {
	s := c.State()
	if !s.Running() {
		return s, &notRunningError{c.ID, s.Status}
	}
	return s, nil
}

type notRunningError struct {
	id     string
	status Status
}

func (e *notRunningError) Error() string {
	if e.status == Restarting {
		return fmt.Sprintf("container %s is restarting, wait until the container is running", e.id)
	}
	return fmt.Sprintf("container %s is not running", e.id)
}

func (e *notRunningError) Unwrap() error { return ErrNotRunning }

// AskStop records that the user wants the container to end and not to be started again by its policy. ForgetStop undoes it.
func (c *Container) AskStop() error { return c.ask(stopFile) }

// AskRestart records that the container is started again when it has been stopped: --rm does not remove it meanwhile.
// ForgetStop undoes it.
func (c *Container) AskRestart() error { return c.ask(restartFile) }

// ask leaves a mark in the run folder.
func (c *Container) ask(mark string) error {
	f, err := os.OpenFile(filepath.Join(c.RunDir, mark), os.O_CREATE|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it has just ended
	}
	if err != nil {
		return fmt.Errorf("ask container to %s: %w", mark, err)
	}
	return f.Close()
}

// ForgetStop undoes AskStop and AskRestart: the container is started again. Only its monitor does so.
func (c *Container) ForgetStop() error {
	for _, mark := range []string{stopFile, restartFile} {
		if err := os.Remove(filepath.Join(c.RunDir, mark)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("forget wish to %s: %w", mark, err)
		}
	}
	return nil
}

// RemovedAtEnd tells whether the container is removed when this life of it ends (--rm).
func (c *Container) RemovedAtEnd() bool {
	if !c.AutoRemove {
		return false
	}
	_, err := os.Lstat(filepath.Join(c.RunDir, restartFile))
	return err != nil
}

// StopAsked tells whether AskStop was called in this life of the container.
func (c *Container) StopAsked() bool {
	_, err := os.Lstat(filepath.Join(c.RunDir, stopFile))
	return err == nil
}
