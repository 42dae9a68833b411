package network

import (
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/network/netns"
	"ctr/network/rtnl"
)

// ipvlan is the driver of networks whose endpoints share the MAC of a link of the host.
type ipvlan struct{ below }

var _ driver = ipvlan{}

var ipvlanDriver = ipvlan{below{"CONFIG_IPVLAN", OptIPvlanMode, []string{"l2", "l3", "l3s"}}}

var ipvlanModes = map[string]netlink.IPVlanMode{
	"":    netlink.IPVLAN_MODE_L2,
	"l2":  netlink.IPVLAN_MODE_L2,
	"l3":  netlink.IPVLAN_MODE_L3,
	"l3s": netlink.IPVLAN_MODE_L3S,
}

var ipvlanFlags = map[string]netlink.IPVlanFlag{
	"":        netlink.IPVLAN_FLAG_BRIDGE,
	"bridge":  netlink.IPVLAN_FLAG_BRIDGE,
	"private": netlink.IPVLAN_FLAG_PRIVATE,
	"vepa":    netlink.IPVLAN_FLAG_VEPA,
}

func (v ipvlan) attach(c *rtnl.Conn, s Spec, d device, e *Endpoint, ns *netns.Handle, mark string) (int, error) {
	o, err := s.options()
	if err != nil {
		return 0, err
	}
	add := func() error {
		return c.LinkAdd(&netlink.IPVlan{LinkAttrs: childAttrs(d, e, ns), Mode: ipvlanModes[o.mode], Flag: ipvlanFlags[o.flag]})
	}
	err = untilBuried(buryLink, add, unix.EBUSY)
	return v.childIndex(err, s, e, ns, mark)
}
