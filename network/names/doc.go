// Package names keeps which container has which name on a network, as files, and tells it from them.
//
// A zone is the folder <run root>/networks/<network id>/names:
//
//	<name>/<address>      -> "<owner id>:<pid>:<start>"           symbolic link to nowhere: its text is the entry
//	.addresses/<address>  -> "<owner id>:<pid>:<start>:<name>"    the name that answers for an address
//	.new                                                          an entry on its way to its place
//
// <name> is in lower case. Bytes that a file name cannot hold are written as %xx. A name that no DNS question can carry (an
// empty label, a label above 63 bytes, more than 253 bytes in all) has no file: it would never be asked for.
//
// An entry counts while the process that it names runs. So the entries of a container that was killed are gone at the moment
// of its death, whoever removes the files later. Readers take no lock and keep no copy of an entry: an answer tells what the
// folder holds at that moment. Writers take a short flock(2) of the zone's folder, since "remove what is mine" and "remove the
// folder if it is empty" are no single operations of the kernel. Folders have mode 0700.
//
// The package is linked into the small keeper of a running container: it imports nothing but the standard library's small
// packages, x/sys and internal/proc.
package names
