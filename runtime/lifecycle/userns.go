package lifecycle

import (
	"errors"
	"fmt"
	"os"

	"ctr/internal/durable"
	"ctr/runtime/container"
	"ctr/runtime/userns"
)

// chooseIDs gives a new container the IDs that its user asked for. Until done is called, when the container is on disk, nobody
// else chooses.
func (in *Installation) chooseIDs(spec *container.Spec) (done func(), err error) {
	mode := spec.Namespaces.User
	if mode == container.ModePrivate || mode == container.ModeHost {
		return func() {}, nil
	}
	if err := checkUserNS(spec); err != nil {
		return nil, err
	}
	if id, ok := mode.Container(); ok {
		target, err := in.Containers.Load(id)
		if err != nil {
			return nil, fmt.Errorf("share users: %w", err)
		}
		if target.IDs.IsZero() {
			return nil, fmt.Errorf("cannot join user namespace of container %s: it has the host's", target.Name)
		}
		spec.IDs = target.IDs
		return func() {}, nil
	}
	unlock, err := durable.Lock(in.Roots.Data)
	if err != nil {
		return nil, fmt.Errorf("choose range of users: %w", err)
	}
	if spec.IDs, err = userns.SystemFiles.Choose(string(mode), in.takenIDs()); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// openUserNS makes the user namespace in which a container's files have their owners, for a look at those of one that does not
// run; nil for one with the host's.
func openUserNS(c *container.Container) (*os.File, error) {
	if c.IDs.IsZero() {
		return nil, nil //nolint:nilnil // documented; a nil file can be closed
	}
	made, err := userns.New(c.IDs, false)
	return made.User, err
}

// takenIDs lists the containers with IDs of their own. Files of one whose record cannot be read may have any owner, but only
// root can reach them, and it never runs.
func (in *Installation) takenIDs() []userns.Taken {
	all, _ := in.Containers.List()
	var taken []userns.Taken
	for _, c := range all {
		if !c.IDs.IsZero() {
			taken = append(taken, userns.Taken{Name: c.Name, Mode: string(c.Namespaces.User), IDs: c.IDs})
		}
	}
	return taken
}

// checkUserNS refuses what belongs to the host's user namespace, or to another container's, with Docker's words where it has
// some.
func checkUserNS(spec *container.Spec) error {
	if spec.Security.Privileged {
		return errors.New("privileged mode is incompatible with user namespaces: use --userns=host")
	}
	for _, m := range spec.Mounts {
		if m.Propagation == "shared" || m.Propagation == "rshared" {
			return fmt.Errorf("mount %s: propagation %q is incompatible with user namespaces: what they mount never reaches the host", m.Target, m.Propagation)
		}
	}
	n := spec.Namespaces
	for _, ns := range []struct {
		what string
		mode container.Mode
	}{{"network", spec.Network.Mode}, {"PID", n.PID}, {"IPC", n.IPC}, {"UTS", n.UTS}} {
		_, byPath := ns.mode.Path()
		_, joins := ns.mode.Container()
		switch {
		case ns.mode == container.ModeHost || byPath:
			return fmt.Errorf("cannot share the host's %s namespace when user namespaces are enabled", ns.what)
		case joins && ns.mode != n.User:
			return fmt.Errorf("cannot join the %s namespace of a container without its user namespace: give it with --userns too", ns.what)
		}
	}
	if _, joins := n.User.Container(); joins && spec.Network.Mode != n.User {
		return errors.New("--userns container:NAME needs --network container:NAME: a network namespace belongs to the user namespace that it was made in")
	}
	return nil
}
