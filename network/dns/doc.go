// Package dns is the resolver of one container, at 127.0.0.11.
//
// It answers for the containers on the networks that its own container is on, from the zones of package names, and asks the
// host's servers, or those that the user or the networks gave, for everything else:
//
//   - a, a.b and a.b.c are looked for as a name on every network, then, split at each dot from the right, as "name.network".
//     The first split, and in it the first network, that knows the name answers: addresses in random order, an empty answer
//     for the other family and for every other type. What a container is called is never asked outside.
//   - PTR of a container's address is "name.network.".
//   - What is left goes to at most three servers, in order, four seconds each, over the protocol of the question. A server
//     that is silent, unreachable, or says SERVFAIL or REFUSED leaves it to the next; every other reply is final and passed on
//     as it came. No server is left: SERVFAIL. There is no built-in server.
//
// Each forwarded question has a socket of its own, so a port chosen by the kernel, and an ID of its own, both random. A reply
// counts only if it comes from the server's address, to that port, with that ID and with the same question (RFC 5452), in the
// same letters; one in other letters is asked for again over TCP.
//
// The package owns two sockets in the container's network namespace, nothing on disk, and never changes a namespace itself.
// It is linked into the small keeper that stays beside a running container, whose memory is counted: it reads and writes the
// few parts of messages that it needs by itself, since github.com/miekg/dns brings crypto/tls along (1 MiB more resident
// memory for each container). The tests judge it by that library.
package dns
