// Package attach carries a program's standard streams between the process that keeps its container and whoever looks at it:
// the foreground `run`, `start -a`, `attach`.
//
// Both sides hold one end of a unix socket of type SOCK_SEQPACKET (unix(7)): a message is a frame, whole or not at all, so a
// keeper may hand a connection to its successor at any time. The first connection comes over a socketpair, before the program
// starts, so that no byte of its output is missed; later ones come through containers/<id>/attach.sock in the run root.
//
// The package starts no process and knows nothing of containers.
package attach
