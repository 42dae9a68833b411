// Package keep is what goes on beside a container while it runs: its output is copied to the log and to whoever is attached,
// what they type is handed in, names are resolved, published ports are proxied, and its end is awaited.
//
// All of it works on descriptors that the start of the container opened, or a successor anew; the package opens no path but the
// log, makes no kernel object and takes none away. It links neither libcontainer nor netlink: a container that has lived for a while is kept
// by a small program that is little more than this package.
package keep
