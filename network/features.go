package network

import (
	"errors"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/network/netns"
	"ctr/network/rtnl"
)

// Feature is something that networks can use of a kernel, and that it may lack.
type Feature struct {
	Name  string
	Found bool
	Needs string // what does not work without, and the kernel's option
}

// Features probes the kernel. Links are made for that in a namespace that goes at once, so nothing of the host changes.
func (n *Networks) Features() []Feature {
	kinds := probeKinds()
	return []Feature{
		{"bridge and veth", kinds["bridge"] && kinds["veth"], "networks of the driver bridge, CONFIG_BRIDGE and CONFIG_VETH"},
		{"nftables", n.firewall.Supported() == nil, "networks of the driver bridge, CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT, CONFIG_NFT_FIB_INET"},
		{"macvlan", kinds["macvlan"], "networks of the driver macvlan, CONFIG_MACVLAN"},
		{"ipvlan", kinds["ipvlan"], "networks of the driver ipvlan, CONFIG_IPVLAN"},
		{"VLAN", kinds["vlan"], "-o parent=LINK.ID, CONFIG_VLAN_8021Q"},
		{"SCTP", haveSCTP(), "publishing ports of sctp, CONFIG_IP_SCTP"},
		{"br_netfilter", bridgesFilter(), ""},
	}
}

// probeKinds tries which kinds of links the kernel has.
func probeKinds() map[string]bool {
	found := map[string]bool{}
	ns, err := netns.New()
	if err != nil {
		return found
	}
	defer ns.Close()
	c, err := rtnl.Dial(ns)
	if err != nil {
		return found
	}
	defer c.Close()
	named := func(name string, parent int) netlink.LinkAttrs {
		a := netlink.NewLinkAttrs()
		a.Name, a.ParentIndex = name, parent
		return a
	}
	add := func(kind string, l netlink.Link) { found[kind] = c.LinkAdd(l) == nil }
	add("bridge", &netlink.Bridge{LinkAttrs: named("bridge", 0)})
	add("veth", &netlink.Veth{LinkAttrs: named("veth", 0), PeerName: "peer"})
	parent, err := c.Link("veth")
	if err != nil {
		return found
	}
	add("macvlan", &netlink.Macvlan{LinkAttrs: named("macvlan", parent.Index), Mode: netlink.MACVLAN_MODE_BRIDGE})
	add("vlan", &netlink.Vlan{LinkAttrs: named("vlan", parent.Index), VlanId: 2, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
	if other, err := c.Link("peer"); err == nil { // a link is the parent of the one kind or of the other
		add("ipvlan", &netlink.IPVlan{LinkAttrs: named("ipvlan", other.Index), Mode: netlink.IPVLAN_MODE_L2})
	}
	return found
}

// haveSCTP tells whether the kernel has the protocol.
func haveSCTP() bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err == nil {
		unix.Close(fd)
	}
	return !errors.Is(err, unix.EPROTONOSUPPORT) && !errors.Is(err, unix.ESOCKTNOSUPPORT)
}

// bridgesFilter tells whether packets within bridges can be made to pass the rules for those that are routed.
func bridgesFilter() bool {
	_, err := os.Stat(sysctls + "bridge")
	return err == nil
}
