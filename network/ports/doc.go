// Package ports holds the published ports of a container on the host, and proxies what reaches them.
//
// Holding a port means a listening TCP socket, or a bound UDP socket, per address family: a conflict is found when the
// container starts, and nobody else takes the port while it runs. Packets normally never reach these sockets, since
// package firewall sends them on in the kernel, with their source address kept. What does reach them (127.0.0.1 and
// ::1, an IPv6 client of a container that has IPv4 only, a host whose rules were flushed) Serve copies to the container.
//
// An SCTP port is held by a socket that is bound and does not listen, so that what the firewall does not send on is answered
// with ABORT: nothing proxies SCTP, whose associations are more than one stream of bytes. It is reached by the host's other
// addresses, not by 127.0.0.1 and ::1.
//
// The package owns no path and no kernel object but its sockets. It links nothing but the standard library, x/sys and
// package netns, since the small keeper of a running container uses it too: the sockets are plain files, which can be
// passed to it over execve(2) or SCM_RIGHTS.
//
// For the caller, in the order of a container's start:
//
//	held, err := ports.Hold(ns, list)          // chooses host ports where that was left open: Held.Port.HostPort
//	firewall.AddPorts(...)                     // for each Held, and each address of the container
//	ports.Serve(ctx, ports.Forward{...}, ...)  // one call for all, in the process that keeps the container
//
// and at its end: firewall.RemovePorts, then Close of each Held.
package ports
