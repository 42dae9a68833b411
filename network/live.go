package network

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

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
		if at, ok := r.held(p); ok {
			l.Ports = append(l.Ports, &ports.Held{Port: at})
		}
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

// Close gives the sandbox back. A second call does nothing.
func (l *Live) Close() (err error) {
	if l.unlock == nil {
		return nil
	}
	if l.building != nil {
		err = l.Sandbox.Close()
	}
	l.unlock()
	l.unlock = nil
	return err
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
	there, err := l.interfaces()
	if err != nil {
		return err
	}
	if err := nameInterfaces(append(slices.Clone(l.all), a), there...); err != nil {
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

// interfaces returns the names of all that is in the container: its user may have made some.
func (l *Live) interfaces() (names []string, err error) {
	c, err := rtnl.Dial(l.NetNS)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	links, err := c.Links()
	for _, link := range links {
		names = append(names, link.Attrs().Name)
	}
	return names, err
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
	return errors.Join(err, one.finish())
}

// On tells whether the container has an endpoint on the network with the ID.
func (l *Live) On(network string) bool { return l.find(network) >= 0 }

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
	old, err := l.retarget()
	errs = append(errs, err)
	if l.asks {
		l.Sandbox.DNS = l.dnsConfig()
	}
	errs = append(errs, l.rewriteFiles(), l.apply(old))
	return errors.Join(errs...)
}
