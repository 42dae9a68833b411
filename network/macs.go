package network

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"ctr/network/rtnl"
)

// macs remembers by which MAC the neighbours on a network may know an address: what had it last, where that is another one than
// follows from the address alone. It is a folder of links, made with the first of them; who has an address is the only one to
// change its link.
type macs struct{ dir string }

// uncertain stands for a MAC while neighbours are being told of another one.
const uncertain = "uncertain"

func (n *Networks) macs(id string) macs { return macs{filepath.Join(n.runDir(id), macsDir)} }

// last returns the MAC that an address had last, or "" if it is not remembered.
func (m macs) last(a netip.Addr) string {
	mac, err := os.Readlink(filepath.Join(m.dir, a.String()))
	if err != nil {
		return ""
	}
	return mac
}

// of returns the addresses that had this MAC last, though it does not follow from them.
func (m macs) of(mac string) (all []netip.Addr) {
	entries, _ := os.ReadDir(m.dir) // there is none as a rule
	for _, e := range entries {
		if a, err := netip.ParseAddr(e.Name()); err == nil && m.last(a) == mac {
			all = append(all, a)
		}
	}
	return all
}

// remember writes down which MAC an address has; "" forgets it.
func (m macs) remember(a netip.Addr, mac string) error {
	path := filepath.Join(m.dir, a.String())
	if err := removeFile(path); err != nil || mac == "" {
		return err
	}
	err := os.Symlink(mac, path)
	if errors.Is(err, os.ErrNotExist) {
		if err = os.MkdirAll(m.dir, 0o700); err == nil {
			err = os.Symlink(mac, path)
		}
	}
	if err != nil {
		return fmt.Errorf("remember MAC of %s: %w", a, err)
	}
	return nil
}

// follows returns the MAC that every owner of an address has whose user gave none; "" if that depends on more than the address.
func (a *attachment) follows(addr netip.Addr) string {
	if addr.Is6() && a.network.IPv4 {
		return "" // on the IPv4 address beside it
	}
	return macOf(addr, addr).String()
}

// ownMAC returns the MAC of an endpoint whose user gave none: the one that follows from its address or, where the user of another
// on the network has given that one, a MAC that follows from nothing.
func (b *building) ownMAC(a *attachment) string {
	mac := macOf(a.Endpoint.IPv4.Addr(), a.Endpoint.IPv6.Addr()).String()
	for _, addr := range b.macs(a.network.ID).of(mac) {
		if l, err := b.leases(a.network.ID).Get(addr); err == nil && l.Alive() && l.ID != b.Record.Spec.ID {
			return fmt.Sprintf("02:42:%s:%s:%s:%s", a.ID[:2], a.ID[2:4], a.ID[4:6], a.ID[6:8])
		}
	}
	return mac
}

// introduce tells the neighbours of an endpoint its MAC, if they may know one of its addresses by another.
func (b *building) introduce(a *attachment) error {
	if a.MAC == "" {
		return nil // that of the parent
	}
	known := b.macs(a.network.ID)
	tell := a.spec.MAC != ""
	var changed []netip.Addr
	for _, p := range a.prefixes() {
		if last := cmp.Or(known.last(p.Addr()), a.follows(p.Addr())); last != a.MAC {
			changed = append(changed, p.Addr())
			tell = tell || last != ""
		}
	}
	if tell {
		for _, addr := range changed {
			if err := known.remember(addr, uncertain); err != nil {
				return err
			}
		}
		if err := b.NetNS.Do(a.announce); err != nil {
			return fmt.Errorf("announce %s: %w", a.Interface, err)
		}
	}
	for _, addr := range changed {
		mac := a.MAC
		if mac == a.follows(addr) {
			mac = ""
		}
		if err := known.remember(addr, mac); err != nil {
			return err
		}
	}
	return nil
}

// announce tells the neighbours of an endpoint which MAC has its addresses now. It runs on a thread in the container's namespace.
func (a *attachment) announce() error {
	mac, err := a.mac()
	if err != nil {
		return err
	}
	for _, key := range []string{"ipv4/conf/" + a.Interface + "/arp_notify", "ipv6/conf/" + a.Interface + "/ndisc_notify"} {
		if err := setSysctl(key, "1"); err != nil {
			return err
		}
	}
	c, err := rtnl.DialCurrent()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Announce(a.index, mac); err != nil || a.HostSide == "" {
		return err
	}
	return (bridge{}).meetGateway(c, a)
}
