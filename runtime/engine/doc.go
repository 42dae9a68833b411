// Package engine runs programs in containers: runc's libcontainer, pinned and wrapped.
//
// Nobody else imports libcontainer, whose API moves and whose releases are security releases. The package turns a resolved
// Config into libcontainer's, pure and golden-tested, and then creates, releases, signals, pauses and destroys containers,
// and runs further programs in them. It looks up no user, image, network or container.
//
// The kernel objects that it owns are a container's processes, its mount namespace and those others that the Config does not
// join, and its cgroup in every hierarchy. Its paths, below the StateDir that it is given:
//
//	<id>/engine.json     what is needed to undo a container, written before any of it is made: see record
//	<id>/{dev,cgroup,shared}  empty folders, to mount on while the container is made
//	<id>/engine.<id>/    libcontainer's own folder: state.json, exec.fifo. Named by the ID, since libcontainer also names
//	                     the session keyring by it
//
// Importing the package makes the program able to be a container's first process: libcontainer starts /proc/self/exe again, or
// the smaller program that UseInit names, recognised by its environment before main runs, so neither `main` nor a TestMain has to
// do anything for it.
package engine
