// Package dnswatch sees which DNS questions are asked in a network namespace, and what became of them: for those who want to
// know what a container asks for.
//
// It reads copies of packets (packet(7)), of which the kernel picks those from or to port 53 or 127.0.0.11, on every interface,
// over both families. Nothing is changed, nobody else's descriptor is needed, and it costs those who answer nothing while nobody
// watches. A message over TCP is seen if it came in one piece. What it keeps is bounded, whatever the container sends.
//
// It owns one packet socket in the namespace, and nothing on disk.
package dnswatch
