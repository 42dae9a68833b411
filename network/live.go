package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ctr/network/firewall"
	"ctr/network/netns"
	"ctr/network/ports"
	"ctr/network/rtnl"
)

// Live is the sandbox of a container, held for changing while the container uses it. Nobody else changes it, or takes it down,
// until Close. Each change is in the record before it is made, follows at once in all that depends on it, and is taken back if
// it fails.
type Live struct {
	*building
	tell   func(*Sandbox) error
	unlock func()
}

// Edit takes hold of the sandbox of the record, which somebody must still keep. The keeper of its resolver and its published
// ports is told by tell of what it is to serve after a change: a held port that it has already comes without files, and the
// resolver's sockets come when it had none. Edit returns an error that wraps os.ErrNotExist if there is no such sandbox.
func (n *Networks) Edit(record string, tell func(*Sandbox) error) (l *Live, err error) {
	unlock, err := n.lockRecord(record)
	if err != nil {
		return nil, err
	}
	l = &Live{tell: tell, unlock: unlock}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	r, err := ReadRecord(record)
	if err != nil {
		return l, err
	}
	l.building = &building{Networks: n, Sandbox: &Sandbox{Record: r, DNS: r.DNS, networks: n}}
	if l.NetNS, err = r.openNetNS(); err != nil {
		return l, err
	}
	for i, e := range r.Endpoints {
		a := &attachment{Endpoint: &r.Endpoints[i], spec: r.Spec.Endpoints[i]}
		if a.network, err = n.read(e.Network); err != nil {
			return l, err
		}
		if a.options, err = a.network.options(); err != nil {
			return l, err
		}
		if a.driver, err = driverOf(a.network.Driver); err != nil {
			return l, err
		}
		l.all = append(l.all, a)
	}
	for _, p := range r.Ports {
		l.Ports = append(l.Ports, &ports.Held{Port: ports.Port{
			Protocol: ports.Protocol(p.Protocol), HostIP: p.HostIP, HostPort: p.HostPort,
		}})
	}
	return l, nil
}

// openNetNS opens the namespace, which its owner has open. It looks at the owner afterwards, so that the namespace is not that
// of a process that got its PID.
func (r *Record) openNetNS() (*netns.Handle, error) {
	ns, err := netns.Open("/proc/" + strconv.Itoa(r.Owner.PID) + "/fd/" + strconv.Itoa(r.NetnsFD))
	if r.Owner.Alive() {
		return ns, err
	}
	if err == nil {
		ns.Close()
	}
	return nil, fmt.Errorf("the monitor of container %s was killed: start the container anew to change its networks", r.Spec.Name)
}

// Close gives the sandbox back.
func (l *Live) Close() error {
	defer l.unlock()
	if l.building == nil {
		return nil
	}
	return l.Sandbox.Close()
}

// find returns the place of the endpoint on a network, by its ID; -1 if there is none.
func (l *Live) find(network string) int {
	return slices.IndexFunc(l.all, func(a *attachment) bool { return a.network.ID == network })
}

// Connect gives the container an endpoint on one more network. Addresses, routes, names, hosts, resolver and published ports
// follow.
func (l *Live) Connect(ctx context.Context, es EndpointSpec) (err error) {
	r := l.Record
	s := r.Spec
	s.Endpoints = []EndpointSpec{es}
	if err := s.validate(); err != nil {
		return err
	}
	a, err := l.planEndpoint(r.Spec, es, nil)
	if err != nil {
		return err
	}
	if l.find(a.network.ID) >= 0 {
		return fmt.Errorf("endpoint with name %s %w in network %s", s.Name, ErrExists, a.network.Name)
	}
	if err := nameInterfaces(append(slices.Clone(l.all), a)); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	l.add(a)
	defer func() {
		if err != nil {
			err = errors.Join(err, l.remove(len(l.all)-1))
		}
	}()
	if err := r.write(); err != nil {
		return err
	}
	if err := l.makeEndpoint(a); err != nil {
		return err
	}
	if err := l.follow(); err != nil {
		return err
	}
	if r.Init.Alive() {
		return l.announce(r, *a.Endpoint)
	}
	return nil // whoever starts it again will
}

// add adds an endpoint to the record.
func (l *Live) add(a *attachment) {
	r := l.Record
	r.Spec.Endpoints = append(slices.Clone(r.Spec.Endpoints), a.spec)
	r.Spec.None = false
	r.Endpoints = append(r.Endpoints, *a.Endpoint)
	l.all = append(l.all, a)
	l.point()
}

// point has the attachments refer to the record's endpoints.
func (l *Live) point() {
	for i, a := range l.all {
		a.Endpoint = &l.Record.Endpoints[i]
	}
}

// makeEndpoint makes an endpoint's interface in the container.
func (l *Live) makeEndpoint(a *attachment) error {
	one := &building{Networks: l.Networks, Sandbox: l.Sandbox, all: []*attachment{a}}
	err := l.onHost(func(c *rtnl.Conn) error {
		if err := one.lease(c); err != nil {
			return err
		}
		if err := l.Record.write(); err != nil {
			return err
		}
		if err := one.attach(c); err != nil {
			return err
		}
		err := l.NetNS.Do(func() error {
			inside, err := rtnl.DialCurrent()
			if err != nil {
				return err
			}
			defer inside.Close()
			return a.configure(inside)
		})
		if err != nil {
			return fmt.Errorf("configure %s: %w", a.Interface, err)
		}
		return one.await(c)
	})
	return errors.Join(err, one.beside.wait())
}

// Disconnect takes the container's endpoint on a network away. Whatever led there leads elsewhere first.
func (l *Live) Disconnect(network Spec) error {
	i := l.find(network.ID)
	if i < 0 {
		return NotConnected(l.Record.Spec.ID, network.Name)
	}
	return l.remove(i)
}

// NotConnected returns the error about a container that is not on a network, in Docker's words.
func NotConnected(id, network string) error {
	return fmt.Errorf("container %s is not connected to network %s", id, network)
}

// remove removes an endpoint, also one that was made in part only. All steps are tried.
func (l *Live) remove(i int) error {
	gone, r := l.all[i], l.Record
	endpoint := *gone.Endpoint
	errs := []error{l.unname(r, endpoint)}
	l.all = slices.Delete(slices.Clone(l.all), i, i+1)
	errs = append(errs, l.follow(), l.deleteInterface(gone), l.release(r, endpoint))
	r.Spec.Endpoints = slices.Delete(slices.Clone(r.Spec.Endpoints), i, i+1)
	r.Endpoints = slices.Delete(slices.Clone(r.Endpoints), i, i+1)
	l.point()
	return errors.Join(append(errs, r.write())...)
}

// deleteInterface deletes an endpoint's interface. One that is gone is good. With a veth pair the host's end is the one that
// nobody has renamed.
func (l *Live) deleteInterface(a *attachment) error {
	where, name := l.NetNS, a.Interface
	if a.HostSide != "" {
		where, name = l.host, a.HostSide
	}
	return where.Do(func() error {
		c, err := rtnl.DialCurrent()
		if err != nil {
			return err
		}
		defer c.Close()
		link, err := c.Link(name)
		if errors.Is(err, rtnl.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if a.HostSide != "" && link.Alias != "" && link.Alias != mark(l.config.Tag, l.Record.Spec.ID) {
			return nil // somebody else's
		}
		return c.Delete(link.Index)
	})
}

// follow has everything follow that depends on which endpoints there are: default routes, the resolver, published ports, the
// files. All steps are tried.
func (l *Live) follow() error {
	errs := []error{l.NetNS.Do(l.reroute)}
	r := l.Record
	l.asks = r.DNS != nil || asksResolver(l.all)
	if l.asks && r.DNS == nil {
		errs = append(errs, l.makeResolver())
	}
	old := r.rules()
	errs = append(errs, l.retarget())
	if l.asks {
		r.DNS = l.dnsConfig()
		l.Sandbox.DNS = r.DNS
	}
	errs = append(errs, l.rewriteFiles(), l.apply(old))
	return errors.Join(errs...)
}

// retarget finds out where published ports lead from now on. Those that could lead nowhere until now are taken.
func (l *Live) retarget() error {
	r := l.Record
	to, _ := l.target()
	switch {
	case len(r.Spec.Ports) == 0:
	case to == nil:
		r.Published, r.Ports, l.Ports = nil, nil, nil
	case r.Published == nil:
		return l.publish()
	default:
		r.Published = to
	}
	return nil
}

// apply makes published ports so as the record says, which had led elsewhere, and has the keeper serve the rest.
func (l *Live) apply(old []firewall.Port) error {
	now := l.Record.rules()
	without := func(all, those []firewall.Port) []firewall.Port {
		return slices.DeleteFunc(slices.Clone(all), func(p firewall.Port) bool { return slices.Contains(those, p) })
	}
	var errs []error
	if stale := without(old, now); len(stale) > 0 {
		errs = append(errs, l.firewall.RemovePorts(stale))
	}
	errs = append(errs, l.Record.write())
	if fresh := without(now, old); len(fresh) > 0 {
		errs = append(errs, l.firewall.AddPorts(fresh))
	}
	return errors.Join(append(errs, l.tell(l.Sandbox))...)
}

// Publish publishes more ports of the container.
func (l *Live) Publish(more []Port) (err error) {
	r := l.Record
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
	for i, p := range r.Ports {
		if which(p) {
			gone = append(gone, p)
			continue
		}
		stay, asked, held = append(stay, p), append(asked, r.Spec.Ports[i]), append(held, l.Ports[i])
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

// Rename gives the container another name, in the zones of its networks, on its leases and in NetnsDir.
func (l *Live) Rename(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	r := l.Record
	before := *r
	before.Endpoints = slices.Clone(r.Endpoints)
	r.Spec.Name = name
	for _, a := range l.all {
		// Both names are in the record while there may be both in a zone.
		a.DNSNames = append(a.dnsNames(r.Spec), a.DNSNames...)
	}
	if err := r.write(); err != nil {
		return err
	}
	var errs []error
	for i, a := range l.all {
		a.DNSNames = a.dnsNames(r.Spec)
		if r.Init.Alive() {
			errs = append(errs, l.announce(r, *a.Endpoint))
		}
		errs = append(errs, l.unnameOld(r.Spec.ID, before.Endpoints[i], a.DNSNames))
		for _, p := range a.prefixes() {
			errs = append(errs, l.leases(a.Network).Rename(p.Addr(), r.Spec.ID, name))
		}
	}
	if r.NetnsName != "" {
		errs = append(errs, l.renameNamespace(before.NetnsName))
	}
	return errors.Join(append(errs, r.write())...)
}

// unnameOld removes the names that an endpoint had and has no more.
func (l *Live) unnameOld(id string, old Endpoint, now []string) error {
	var errs []error
	for _, name := range old.DNSNames {
		if slices.ContainsFunc(now, func(n string) bool { return strings.EqualFold(n, name) }) {
			continue
		}
		for _, p := range old.prefixes() {
			errs = append(errs, l.zone(old.Network).Remove(name, p.Addr(), id))
		}
	}
	return errors.Join(errs...)
}

// renameNamespace has ip-netns(8) show the new name.
func (l *Live) renameNamespace(old string) error {
	name, warning, err := l.nameNamespace(l.Record)
	if err != nil {
		return err
	}
	if warning != "" {
		l.Warnings = append(l.Warnings, warning)
	}
	l.Record.NetnsName = name
	if name == old {
		return nil
	}
	path := filepath.Join(l.config.NetnsDir, old)
	if target, err := os.Readlink(path); err != nil || target != l.Record.netnsTarget() {
		return nil // gone, or another's
	}
	return removeFile(path)
}
