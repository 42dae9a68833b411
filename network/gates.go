package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

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

// closeGates takes back what rules of others were opened for a network, if nobody is on it any more.
func (n *Networks) closeGates(id, bridge string) error {
	path := n.openedPath(id)
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if used, err := n.inUse(id); err != nil || used {
		return err
	}
	if err := n.firewall.Close(bridge); err != nil {
		return err
	}
	if err := removeFile(path); err != nil {
		return err
	}
	// Who has taken an address since then may have found the rules open still.
	if used, err := n.inUse(id); err != nil || !used {
		return err
	}
	s, err := n.read(id)
	if err != nil {
		return err
	}
	// Somebody else may have opened them again by now, and noted it in the file that is gone.
	if err := n.noteOpened(id); err != nil {
		return err
	}
	return n.ensureRules(s, true)
}
