package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ctr/internal/durable"
	"ctr/network/firewall"
)

// Where rules of others drop what they do not know, the firewall opens them for a network's bridge. That holds for as long as there
// are containers on the network: when the last one has ended, the rules are as they were. The file says that it has happened.

func (n *Networks) openedPath(id string) string { return filepath.Join(n.runDir(id), openedFile) }

// rulesOf returns what the firewall has to know of a network, in its use.
func (n *Networks) rulesOf(s Spec) (firewall.Network, error) {
	f, err := s.rules()
	f.Opening = func() error { return n.noteOpened(s.ID) }
	return f, err
}

// noteOpened writes down that rules of others are opened for a network.
func (n *Networks) noteOpened(id string) error {
	file, err := os.OpenFile(n.openedPath(id), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("note opened rules: %w", err)
	}
	return file.Close()
}

// inUse tells whether anybody has an address on a network.
func (n *Networks) inUse(id string) (bool, error) {
	free, err := n.leases(id).Empty()
	return !free, err
}

// closeGates takes back what rules of others were opened for a network, if nobody is on it any more. Who has taken an address since
// it looked waits until it is done (awaitGates), and opens them again.
func (n *Networks) closeGates(id, bridge string) error {
	unlock, err := lockGates(n.openedPath(id), unix.LOCK_EX)
	if unlock == nil {
		return err
	}
	defer unlock()
	if used, err := n.inUse(id); err != nil || used {
		return err
	}
	if err := n.firewall.Close(bridge); err != nil {
		return err
	}
	return removeFile(n.openedPath(id))
}

// awaitGates waits for whoever is closing the rules of others for a network, and may not have seen the address that the caller has
// taken. Who comes later sees it.
func (n *Networks) awaitGates(id string) error {
	unlock, err := lockGates(n.openedPath(id), unix.LOCK_SH)
	if unlock != nil {
		unlock()
	}
	return err
}

// lockGates takes the flock(2) of the file that says that rules are opened; nil if there is none. Who closes them removes it: a lock
// that was waited for may be that of a file that is gone, and of no use.
func lockGates(path string, how int) (unlock func(), err error) {
	for {
		fd, err := durable.OpenLocked(path, how)
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		var file unix.Stat_t
		if err := unix.Fstat(fd, &file); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("lock %q: %w", path, os.NewSyscallError("fstat", err))
		}
		if file.Nlink > 0 {
			return func() { unix.Close(fd) }, nil
		}
		unix.Close(fd)
	}
}
