package network

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"ctr/internal/proc"
	"ctr/network/firewall"
	"ctr/network/netns"
	"ctr/network/ports"
)

// Adopt takes over the sandbox of the record from an owner that was killed, while the container's first process runs in it, or
// one of these others: the new owner, the calling process as a rule, gets the namespace, sockets for the resolver, to which the
// rules in the container lead from then on, and the published ports, as far as nobody else has taken them meanwhile. Those are
// given up, and said in Warnings. On error the sandbox is as it was, and may be adopted again.
func (n *Networks) Adopt(record string, owner proc.ID, others ...proc.ID) (s *Sandbox, err error) {
	unlock, err := n.lockRecord(record)
	if err != nil {
		return nil, err
	}
	defer unlock()
	r, err := ReadRecord(record)
	if err != nil {
		return nil, err
	}
	b := &building{Networks: n, Sandbox: &Sandbox{Record: r, DNS: r.DNS, networks: n}}
	defer func() {
		if err != nil {
			s, err = nil, errors.Join(fmt.Errorf("take over network of %s: %w", r.Spec.Name, err), b.Sandbox.Close())
		}
	}()
	if b.NetNS, err = namespaceOf(append([]proc.ID{r.Init}, others...)); err != nil {
		return nil, err
	}
	if r.DNS != nil {
		if err := b.makeResolver(); err != nil {
			return nil, err
		}
	}
	lost := b.holdAgain()
	r.LeasedBy = r.leaser()
	r.Owner, r.NetnsFD = owner, b.NetNS.Fd()
	if err := r.write(); err != nil {
		return nil, err
	}
	for _, e := range r.Endpoints {
		for _, p := range e.prefixes() {
			if err := n.leases(e.Network).Own(p.Addr(), r.Spec.ID, owner); err != nil {
				return nil, err
			}
		}
		if !r.Init.Alive() {
			continue // whoever starts it again announces it
		}
		if err := n.announce(r, e); err != nil {
			return nil, err
		}
	}
	name, warning, err := n.nameNamespace(r)
	if err != nil {
		return nil, err
	}
	if warning != "" {
		b.Warnings = append(b.Warnings, warning)
	}
	r.NetnsName = name
	if err := r.write(); err != nil {
		return nil, err
	}
	if len(lost) == 0 {
		return b.Sandbox, nil
	}
	return b.Sandbox, n.firewall.RemovePorts(lost)
}

// namespaceOf opens the namespace of the first of the processes that runs. It looks at that afterwards, so that the namespace is
// not that of a process that got its PID.
func namespaceOf(all []proc.ID) (*netns.Handle, error) {
	for _, p := range all {
		if !p.Alive() {
			continue
		}
		ns, err := netns.Open("/proc/" + strconv.Itoa(p.PID) + "/ns/net")
		if p.Alive() {
			return ns, err
		}
		if err == nil {
			ns.Close()
		}
	}
	return nil, fmt.Errorf("every process in it: %w", proc.ErrGone)
}

// holdAgain takes the published ports. It returns the rules of those that somebody else has by now, which are no more in the
// record.
func (b *building) holdAgain() (lost []firewall.Port) {
	r := b.Record
	before := r.rules()
	for i := 0; i < len(r.Ports); {
		p := r.Ports[i]
		at, ok := r.held(p)
		if !ok {
			i++
			continue
		}
		held, err := ports.Hold(b.host, []ports.Port{at})
		if err == nil {
			b.Ports = append(b.Ports, held[0])
			i++
			continue
		}
		b.Warnings = append(b.Warnings, fmt.Sprintf("%d/%s of %s is not published any more: %v", p.ContainerPort, p.Protocol, r.Spec.Name, err))
		r.Ports = slices.Delete(slices.Clone(r.Ports), i, i+1)
		r.Spec.Ports = slices.Delete(slices.Clone(r.Spec.Ports), i, i+1)
	}
	return without(before, r.rules())
}
