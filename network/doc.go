// Package network gives containers their networks: it makes and removes networks, and sets up, describes and tears down the
// network side of a container, its sandbox.
//
// A Networks value works on one host, the network namespace in which ctr runs, and for one installation. In the kernel it
// owns what carries its mark: links whose alias begins with "ctr " or "ctr-<tag> " (bridges, the host's ends of veth pairs,
// VLAN devices), static forwarding entries of its own ports, permanent neighbour entries between host and containers, and,
// through package firewall, the nftables tables of that name. It turns net.ipv4.ip_forward (and its IPv6 sibling) on when a bridge needs it and leaves it on. It deletes no
// veth pair of a container that ends: that waits for an RCU grace period, while closing the last reference to the container's
// namespace takes the pair down in the background. Only a container that goes on without it has it deleted.
//
// On disk it owns
//
//	<data>/networks/<id>/network.json              the Spec of a network
//	<data>/names/networks/<name> -> <id>           who has a name; symlink(2) is the transaction
//	<run>/networks/<id>/leases/<address> -> ...    package ipam
//	<run>/networks/<id>/names/<name>/<address>     package names
//	<run>/networks/<id>/opened                     rules of others have been opened for its bridge
//	<run>/networks/<id>/macs/<address> -> <MAC>    what neighbours may know an address by
//	/run/netns/<container> -> /proc/<pid>/fd/<n>   what ip-netns(8) shows
//
// and, of a container, the files resolv.conf, resolv.conf.hash, hosts and hostname in the folder that the caller names, and the
// record sandbox.json, which holds all that Teardown needs. It knows nothing else of containers.
//
// A sandbox belongs to the process that has set it up, or to the one that took it over when that was killed (Adopt), and may be
// changed by others meanwhile (Edit). Whoever
// changes it, announces it or takes it down holds an flock(2) of the folder that its record is in, and reads the record anew
// under it. The lock is not held while a sandbox is set up: nobody can find it before its owner says so.
package network
