package monitor

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"ctr/runtime/attach"
	"ctr/runtime/container"
	"ctr/runtime/embedded"
	"ctr/runtime/installation"
	"ctr/runtime/keep"
)

// settled is how long a container must have lived before its monitor makes itself small: a short-lived one pays nothing.
const settled = 2 * time.Second

// handover is what the monitor itself needs when it is ctr again.
type handover struct {
	Record container.Monitor `json:"record"`
	Policy policyState       `json:"policy"`
	Began  time.Time         `json:"began"`
	Hold   int               `json:"hold"` // the connection that keeps another container's sandbox alive; -1: none
}

// keep waits for the end of the program. Once the container has settled, and whenever nobody is attached, it tries to go on as
// the small keeper program; it then comes back by resume.
func (m *monitor) keep(r *run) error {
	ended := make(chan error, 1)
	go func() { ended <- r.program.Wait() }()
	tick := time.NewTicker(settled)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
			debug.SetGCPercent(100) // package standby set another pace for the start
			if err := m.shrink(r); err != nil {
				m.note("go on as a small program", err)
				tick.Stop() // it will not work the next time either
			}
		}
	}
}

// shrink replaces this process by the small keeper. It returns nil if now is no good moment for that.
func (m *monitor) shrink(r *run) error {
	path, err := embedded.Keeper.Path(m.in.Roots.Data)
	if err != nil {
		return err
	}
	small, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open keeper: %w", err)
	}
	defer small.Close()
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("open our own binary: %w", err)
	}
	defer self.Close()
	state, ok := m.keeper.Suspend(true)
	if !ok {
		return nil
	}
	h := handover{Record: m.record, Policy: m.policy.policyState, Began: r.began, Hold: -1}
	state.Carry = []int{lockFD}
	if hold := r.joins.hold(); hold != nil {
		h.Hold = hold.FD()
		state.Carry = append(state.Carry, h.Hold)
	}
	if state.Owner, err = json.Marshal(h); err == nil {
		state.NextFile = int(self.Fd())
		state.Next = []string{argv0, m.in.Roots.Data, m.in.Roots.Run, m.c.ID}
		keep.Frugal(true)
		err = keep.Execute(int(small.Fd()), state.Next, state)
		keep.Frugal(false)
	}
	if again := m.keeper.Continue(); again != nil {
		return fmt.Errorf("%w; and then: %w", err, again)
	}
	return err
}

// resume is the monitor's second life as ctr, after the program has ended: the rest of live.
func resume(roots installation.Roots, id string) error {
	s, err := keep.ReadState()
	if err != nil {
		return err
	}
	m, err := openStores(roots, id)
	if err != nil {
		return err
	}
	var h handover
	if err := json.Unmarshal(s.Owner, &h); err != nil {
		return fmt.Errorf("resume monitor: %w", err)
	}
	os.NewFile(uintptr(s.NextFile), "ctr").Close()
	m.record, m.policy = h.Record, &policy{RestartPolicy: m.c.Restart, policyState: h.Policy}
	r := &run{m: m, began: h.Began}
	if h.Hold >= 0 {
		conn, err := attach.FromFile(os.NewFile(uintptr(h.Hold), "hold"))
		m.note("take over hold on sandbox", err)
		r.joins.net = &held{hold: conn}
	}
	if m.keeper, r.program, err = keep.Resume(s); err != nil {
		return err
	}
	if open := m.keeper.Services(); open.NetNS != nil {
		m.sandbox, err = m.in.Networks.Reopen(m.c.SandboxPath(), open.NetNS, open.UDP, open.TCP, open.Held())
		m.note("take over sandbox", err)
	}
	return m.live(r)
}
