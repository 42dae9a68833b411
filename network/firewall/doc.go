// Package firewall keeps the nftables rules that bridges and published ports need.
//
// It owns one table of the inet family in the host (ctr, or ctr-<tag> for an installation with roots of its own), and
// the tables "ip ctr-dns" and "netdev ctr-dns" in the network namespace of a container that uses the resolver at 127.0.0.11.
// All it ever writes into a table of somebody else is a plain `iifname BRIDGE accept` and `oifname BRIDGE accept`, with the name of its own
// table as the comment, into a chain on the forward hook that would drop what containers send: the chain DOCKER-USER or
// FORWARD of iptables, the forward chain of firewalld and the like. It never changes a policy and never flushes a chain
// of somebody else.
//
// The rules of a table are static: networks and ports are elements of its sets and maps, so what a packet costs does not
// grow with their number, and a change is one transaction of a few elements. The table as the kernel lists it, for each
// kind of network and port, is in testdata/*.nft.
//
// What the table does:
//
//   - the first packet of a connection to an address of a network comes from that network's own bridge or from the host
//     itself, or it is dropped: container addresses and gateway addresses cannot be reached from outside, nor from another
//     bridge. Of a network whose containers show their addresses outside, only its gateways are guarded so. Connections from
//     before the rules are forgotten when they come back;
//   - a port that is published on one address of the host is dropped where it arrives by an interface that has not
//     got the address (except from our bridges), and on 127.0.0.1 where it arrives by any interface but lo;
//   - a packet to a published port of an address that is the host's own (fib daddr type local) is sent on to the
//     container with its source address kept, from outside and from the host itself. Containers that ask are masqueraded:
//     else the answer would not come back this way. 127.0.0.0/8 and ::1, and a container that asks for its own port,
//     are left alone: the proxy of package ports serves them;
//   - into a bridge goes what belongs to a connection, what was sent on to a published port, and (unless the network
//     forbids it) what comes from the same bridge; nothing else, but for two kinds of subnets: a routed one is reached at its
//     containers' own addresses, by ICMP and at published ports, from outside and from other bridges; an unprotected one by
//     whatever comes from outside. By a link that a network trusts, its containers are reached at published ports of their own
//     addresses, too;
//   - nothing leaves an internal network, neither to another interface nor to the host.
//
// A Firewall has no state but its arguments, and costs one netlink socket per call. It may be used by many goroutines and
// processes at once, without a lock: a transaction names the generation of rules that it was made for, and the kernel refuses
// it if anybody has changed a rule since (transaction.go). It never runs nft or iptables.
package firewall
