package network

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/network/netns"
	"ctr/network/rtnl"
)

// macvlan is the driver of networks whose endpoints have MACs of their own on a link of the host.
type macvlan struct{ below }

var _ driver = macvlan{}

var macvlanDriver = macvlan{below{"CONFIG_MACVLAN", OptMacvlanMode, []string{"bridge", "private", "vepa", "passthru"}}}

var macvlanModes = map[string]netlink.MacvlanMode{
	"":         netlink.MACVLAN_MODE_BRIDGE,
	"bridge":   netlink.MACVLAN_MODE_BRIDGE,
	"private":  netlink.MACVLAN_MODE_PRIVATE,
	"vepa":     netlink.MACVLAN_MODE_VEPA,
	"passthru": netlink.MACVLAN_MODE_PASSTHRU,
}

func (m macvlan) attach(c *rtnl.Conn, s Spec, d device, e *Endpoint, ns *netns.Handle, mark string) (int, error) {
	o, err := s.options()
	if err != nil {
		return 0, err
	}
	mac, err := net.ParseMAC(e.MAC)
	if err != nil {
		return 0, err
	}
	attrs := childAttrs(d, e, ns)
	attrs.HardwareAddr = mac
	passthru := macvlanModes[o.mode] == netlink.MACVLAN_MODE_PASSTHRU
	taken := []unix.Errno{unix.EBUSY}
	if passthru {
		taken = append(taken, unix.EINVAL)
	}
	err = untilBuried(buryLink, func() error {
		return c.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: macvlanModes[o.mode]})
	}, taken...)
	if passthru && errors.Is(err, unix.EINVAL) {
		return 0, fmt.Errorf("make macvlan: in passthru mode one container has %s to itself: %w", o.parent, unix.EBUSY)
	}
	return m.childIndex(err, s, e, ns, mark)
}
