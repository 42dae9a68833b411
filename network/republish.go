package network

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ctr/network/firewall"
	"ctr/network/ports"
)

// retarget finds out where published ports lead from now on. Those that could lead nowhere until now are taken. It returns the rules
// that the kernel has still.
func (l *Live) retarget() (old []firewall.Port, err error) {
	r := l.Record
	old = r.rules()
	to, _ := l.target()
	if len(r.Spec.Ports) == 0 {
		return old, nil
	}
	if was := r.Published; was != nil && to != nil && (was.Routed4 != to.Routed4 || was.Routed6 != to.Routed6) {
		// What of them is on the host changes: a socket for one family cannot be had while the keeper has one for both.
		r.Published, r.Ports, l.Ports = nil, nil, nil
		if err := l.apply(old); err != nil {
			return nil, err
		}
		old = nil
	}
	switch {
	case to == nil:
		r.Published, r.Ports, l.Ports = nil, nil, nil
	case r.Published == nil:
		err = l.publish()
	default:
		r.Published = to
	}
	return old, err
}

// apply makes published ports so as the record says, which had led elsewhere, and has the keeper serve the rest.
func (l *Live) apply(old []firewall.Port) error {
	r := l.Record
	now := r.rules()
	var errs []error
	if stale := without(old, now); len(stale) > 0 {
		errs = append(errs, l.firewall.RemovePorts(stale))
	}
	errs = append(errs, r.write())
	if fresh := without(now, old); len(fresh) > 0 {
		err := l.firewall.AddPorts(fresh)
		if errors.Is(err, unix.ENOENT) { // somebody has removed the table
			err = l.restoreRules("")
		}
		errs = append(errs, err)
	}
	err := l.tell(l.Sandbox)
	if err != nil && l.rehold() {
		err = l.tell(l.Sandbox)
	}
	if err == nil && l.Sandbox.DNS != nil {
		r.DNS = l.Sandbox.DNS // not before: who finds no resolver in the record makes sockets for one
		err = r.write()
	}
	return errors.Join(append(errs, err)...)
}

// without returns those of all that are not among the others.
func without(all, others []firewall.Port) []firewall.Port {
	known := make(map[firewall.Port]bool, len(others))
	for _, p := range others {
		known[p] = true
	}
	return slices.DeleteFunc(slices.Clone(all), func(p firewall.Port) bool { return known[p] })
}

// rehold takes the ports that the record names and that nobody holds, since a command was killed before it could hand them to
// the keeper. It tells whether there were any.
func (l *Live) rehold() (some bool) {
	var lost []*ports.Held
	var list []ports.Port
	for _, h := range l.Ports {
		if len(h.Files) == 0 {
			lost, list = append(lost, h), append(list, h.Port)
		}
	}
	again, _ := ports.HoldFree(l.host, list)
	for i, h := range again {
		if h != nil {
			lost[i].Files, some = h.Files, true
		}
	}
	return some
}

// Publish publishes more ports of the container.
func (l *Live) Publish(more []Port) (err error) {
	r := l.Record
	if err := CheckPorts(slices.Concat(r.Ports, more)); err != nil {
		return err
	}
	var all []ports.Port
	for _, h := range l.Ports {
		all = append(all, h.Port)
	}
	for _, p := range more {
		all = append(all, ports.Port{Protocol: ports.Protocol(p.Protocol), HostIP: p.HostIP, HostPort: p.HostPort})
	}
	if err := ports.Room(r.Owner.PID, all); err != nil { // the keeper's, who is to hold them
		return err
	}
	before, old := *r, r.rules()
	held := l.Ports
	defer func() {
		if err != nil {
			fresh := l.Ports[len(held):]
			now := r.rules()
			*r, l.Ports = before, held
			err = errors.Join(err, l.apply(now))
			for _, h := range fresh {
				h.Close()
			}
		}
	}()
	// Those that are published stay as they are; publish sees the new ones only.
	r.Spec.Ports, r.Ports, l.Ports = more, nil, nil
	if err = l.publish(); err == nil && r.Published == nil {
		err = errors.New(strings.Join(l.Warnings, "; "))
	}
	r.Spec.Ports = append(slices.Clone(before.Spec.Ports), more...)
	r.Ports = append(slices.Clone(before.Ports), r.Ports...)
	l.Ports = append(slices.Clone(held), l.Ports...)
	if err != nil {
		return err
	}
	return l.apply(old)
}

// Unpublish gives the ports back of which which is true, and returns them. They are ports as the record has them, with the
// host ports that were taken.
func (l *Live) Unpublish(which func(Port) bool) ([]Port, error) {
	r := l.Record
	old := r.rules()
	var gone, stay, asked []Port
	var held []*ports.Held
	all := l.Ports
	for i, p := range r.Ports {
		var holds []*ports.Held
		if _, ok := r.held(p); ok {
			holds, all = all[:1], all[1:]
		}
		if which(p) {
			gone = append(gone, p)
			continue
		}
		stay, asked, held = append(stay, p), append(asked, r.Spec.Ports[i]), append(held, holds...)
	}
	if len(gone) == 0 {
		return nil, nil
	}
	r.Ports, r.Spec.Ports, l.Ports = stay, asked, held
	if len(stay) == 0 {
		r.Ports = nil
	}
	return gone, l.apply(old)
}
