package rtnl

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// AddForwarding tells a bridge, for good, that a MAC is behind its port. Sticky: else the next frame that has the MAC for its
// source, whoever sends it, would move the entry to another port, static or not (br_fdb_update; Linux 4.20).
func (c *Conn) AddForwarding(port int, mac net.HardwareAddr) error {
	err := c.NeighSet(&netlink.Neigh{
		LinkIndex: port, Family: unix.AF_BRIDGE, HardwareAddr: mac,
		Flags: netlink.NTF_MASTER | netlink.NTF_STICKY, State: netlink.NUD_NOARP,
	})
	if err != nil {
		return fmt.Errorf("add forwarding entry of %s: %w", mac, err)
	}
	return nil
}

// Forwarding returns the MACs that AddForwarding has told bridges, by the index of the port.
func (c *Conn) Forwarding() (map[int][]string, error) {
	all, err := whole(func() ([]netlink.Neigh, error) { return c.NeighList(0, unix.AF_BRIDGE) })
	if err != nil {
		return nil, fmt.Errorf("list forwarding entries: %w", err)
	}
	found := map[int][]string{}
	for _, n := range all {
		if n.Flags&netlink.NTF_STICKY != 0 && n.State&netlink.NUD_NOARP != 0 {
			found[n.LinkIndex] = append(found[n.LinkIndex], n.HardwareAddr.String())
		}
	}
	return found, nil
}

// SetNeighbour tells a link, for good, which MAC has an address: nobody is asked, and nobody who claims it is heard.
func (c *Conn) SetNeighbour(index int, a netip.Addr, mac net.HardwareAddr) error {
	err := c.NeighSet(&netlink.Neigh{LinkIndex: index, IP: a.AsSlice(), HardwareAddr: mac, State: netlink.NUD_PERMANENT})
	if err != nil {
		return fmt.Errorf("set neighbour %s: %w", a, err)
	}
	return nil
}

// Neighbours returns what SetNeighbour has told a link.
func (c *Conn) Neighbours(index int) (map[netip.Addr]string, error) {
	found := map[netip.Addr]string{}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		all, err := whole(func() ([]netlink.Neigh, error) { return c.NeighList(index, family) })
		if err != nil {
			return nil, fmt.Errorf("list neighbours of link %d: %w", index, err)
		}
		for _, n := range all {
			if a, ok := netip.AddrFromSlice(n.IP); ok && n.State&netlink.NUD_PERMANENT != 0 {
				found[a.Unmap()] = n.HardwareAddr.String()
			}
		}
	}
	return found, nil
}

// Announce has a link tell its neighbours its MAC, as if that had changed, if arp_notify and ndisc_notify are set for it
// (ip-sysctl.rst). The kernel then forgets all neighbours of the link (neigh_changeaddr).
func (c *Conn) Announce(index int, mac net.HardwareAddr) error {
	if err := c.LinkSetHardwareAddr(byIndex(index), mac); err != nil {
		return fmt.Errorf("announce link %d: %w", index, err)
	}
	return nil
}

// DeleteNeighbour undoes SetNeighbour. One that is gone is good.
func (c *Conn) DeleteNeighbour(index int, a netip.Addr) error {
	err := c.NeighDel(&netlink.Neigh{LinkIndex: index, IP: a.AsSlice()})
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("delete neighbour %s: %w", a, err)
	}
	return nil
}
