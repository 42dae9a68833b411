package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"ctr/internal/durable"
	"ctr/network/firewall"
	"ctr/network/ipam"
	"ctr/network/names"
	"ctr/network/netns"
	"ctr/network/rtnl"
)

// Config says where an installation keeps its networks, and in which host.
type Config struct {
	Data  string // <data root>/networks
	Run   string // <run root>/networks
	Names string // <data root>/names/networks
	// Sandboxes is a pattern (path/filepath.Match) of the paths of all the records that Setup is told to write. What is done for
	// all containers at once needs it: Check, Repair, rules that come back.
	Sandboxes string
	Tag       string // empty, or the mark of an installation with roots of its own
	// NetnsDir is where ip-netns(8) looks; empty: /run/netns.
	NetnsDir string
	// Etc is the folder of the host's resolv.conf and hosts; empty: /etc.
	Etc string
	// Host is the network namespace to work in; nil: that of the calling thread. It stays the caller's.
	Host *netns.Handle
}

// The files below Config.Data and Config.Run.
const (
	recordFile = "network.json"
	leasesDir  = "leases"
	namesDir   = "names"
	macsDir    = "macs"
	openedFile = "opened"
)

// Networks are the networks of one installation. Its methods may be called from many goroutines and processes at once.
type Networks struct {
	config   Config
	host     *netns.Handle
	firewall *firewall.Firewall
}

// Open makes the folders that are missing and returns the installation's networks. Close them. It touches nothing in the
// kernel.
func Open(c Config) (*Networks, error) {
	if c.NetnsDir == "" {
		c.NetnsDir = "/run/netns"
	}
	if c.Etc == "" {
		c.Etc = "/etc"
	}
	for _, dir := range []string{c.Data, c.Run, c.Names} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open networks: %w", err)
		}
	}
	n := &Networks{config: c, host: c.Host}
	if n.host == nil {
		host, err := netns.Current()
		if err != nil {
			return nil, err
		}
		n.host = host
	}
	n.firewall = firewall.Open(n.host, c.Tag)
	return n, nil
}

// Close closes what Open opened. It removes nothing.
func (n *Networks) Close() error {
	if n.config.Host != nil {
		return nil
	}
	return n.host.Close()
}

// Find returns the network that has the name, or the ID, or alone an ID that begins so. It returns ErrNotFound if there is
// none, and an error if several have an ID that begins so, or if the name is empty.
func (n *Networks) Find(ref string) (Spec, error) {
	if ref == "" {
		return Spec{}, errors.New("invalid network name or ID: value is empty")
	}
	if id, err := os.Readlink(n.namePath(ref)); err == nil && checkName(ref) == nil {
		if s, err := n.read(id); !errors.Is(err, os.ErrNotExist) {
			return s, err
		}
	}
	if Predefined(ref) {
		if err := n.makePredefined(); err != nil {
			return Spec{}, err
		}
		id, err := os.Readlink(n.namePath(ref))
		if err != nil {
			return Spec{}, fmt.Errorf("network %s: %w", ref, err)
		}
		return n.read(id)
	}
	notFound := fmt.Errorf("network %s %w", ref, ErrNotFound)
	if !isHex(ref) {
		return Spec{}, notFound
	}
	ids, err := n.ids()
	if err != nil {
		return Spec{}, err
	}
	var found []Spec
	for _, id := range ids {
		if !strings.HasPrefix(id, ref) {
			continue
		}
		s, err := n.read(id)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return Spec{}, err
		}
		found = append(found, s)
	}
	switch len(found) {
	case 0:
		return Spec{}, notFound
	case 1:
		return found[0], nil
	}
	candidates := make([]string, len(found))
	for i, s := range found {
		candidates[i] = fmt.Sprintf("%s (%.12s)", s.Name, s.ID)
	}
	return Spec{}, fmt.Errorf("network %s is ambiguous (%d matches found on ID prefix): %s", ref, len(found), strings.Join(candidates, ", "))
}

// List returns all networks, sorted by name. A record that is damaged is reported in the error, beside the others.
func (n *Networks) List() ([]Spec, error) {
	if err := n.makePredefined(); err != nil {
		return nil, err
	}
	return n.list()
}

// list returns the networks that there are.
func (n *Networks) list() ([]Spec, error) {
	ids, err := n.ids()
	if err != nil {
		return nil, err
	}
	var all []Spec
	var errs []error
	for _, id := range ids {
		s, err := n.read(id)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, s)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all, errors.Join(errs...)
}

// ids returns the IDs that have a folder.
func (n *Networks) ids() ([]string, error) {
	entries, err := os.ReadDir(n.config.Data)
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && isHex(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// read reads the record of a network. It returns an error that wraps os.ErrNotExist if there is none.
func (n *Networks) read(id string) (Spec, error) {
	var s Spec
	if err := durable.ReadJSON(n.recordPath(id), &s); err != nil {
		return Spec{}, fmt.Errorf("network %.12s: %w", id, err)
	}
	if s.Version > SpecVersion || s.ID != id {
		return Spec{}, fmt.Errorf("network %.12s: %w: version %d, ID %.12s", id, durable.ErrDamaged, s.Version, s.ID)
	}
	return s, nil
}

// isHex tells whether a text could be an ID or the beginning of one.
func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

func (n *Networks) dataDir(id string) string    { return filepath.Join(n.config.Data, id) }
func (n *Networks) runDir(id string) string     { return filepath.Join(n.config.Run, id) }
func (n *Networks) recordPath(id string) string { return filepath.Join(n.config.Data, id, recordFile) }
func (n *Networks) namePath(name string) string { return filepath.Join(n.config.Names, name) }

// leases returns the leases of a network.
func (n *Networks) leases(id string) ipam.Leases {
	return ipam.Leases{Dir: filepath.Join(n.config.Run, id, leasesDir)}
}

// zone returns the names of a network.
func (n *Networks) zone(id string) names.Zone {
	return names.Zone{Dir: filepath.Join(n.config.Run, id, namesDir)}
}

// onHost runs f on a thread in the host, with a connection to it.
func (n *Networks) onHost(f func(c *rtnl.Conn) error) error {
	return n.host.Do(func() error {
		c, err := rtnl.DialCurrent()
		if err != nil {
			return err
		}
		defer c.Close()
		return f(c)
	})
}
