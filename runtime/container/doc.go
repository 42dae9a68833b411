// Package container holds what is known of containers: the spec that the user asked for, the records on disk, and the state
// that follows from them and from the kernel.
//
// It owns, below the data root:
//
//	names/containers/<name> -> <id>   a name, taken by symlink(2)
//	containers/<id>/container.json    the Spec; a folder without it is a creation that did not end
//	containers/<id>/exit.json         the last run: when it started, when and how it ended
//	containers/<id>/upper, work       the writable layer (written by package rootfs)
//	containers/<id>/hosts, hostname, resolv.conf, resolv.conf.hash   (written by package network)
//	containers/<id>/<id>-json.log     the log (written by package logs)
//	containers/.removed-<id>          what `rm` has taken away and not yet deleted
//
// and below the run root:
//
//	containers/<id>/monitor.json      who keeps the container: the monitor, and the init once there is one
//	containers/<id>/engine.json, engine.<id>/   (written by package engine)
//	containers/<id>/sandbox.json      the network side (written by package network)
//	containers/<id>/attach.sock       where the monitor answers
//	containers/<id>/stop              the user wants it to end: its policy does not start it again
//	containers/<id>/restart           and then it is started again: --rm does not remove it
//	containers/<id>/health.json       its state of health
//	containers/<id>/stdin, stdout, stderr   FIFOs, so that a container outlives its monitor
//
// An flock(2) of containers/<id> is the right to change a container. Whoever starts one passes it to the monitor, which holds
// it until the container's end; `rm` and `start` take it when nobody does. It is never held on more than one container.
// An flock of containers/<id>/change is the right to change the spec: who needs both takes it first. That of the run folder is
// the right to change the sandbox of a container that runs: see packages network and lifecycle.
//
// The package starts and ends no process.
package container
