// Package testhost makes hosts for tests: a PID, a mount, a network and a UTS namespace of their own, in which a test may make
// links, mounts, rules and processes without touching the machine or the test beside it.
//
// A test calls Run, which executes the test binary again as PID 1 of a fresh host; that starts the binary a second time to run
// just this test. When it ends, so do all processes, mounts, links and rules of the host, whatever the test forgot: the
// kernel takes them down with the namespaces.
//
//	test binary ──clone(NEWPID|NEWNS|NEWNET|NEWUTS)──▶ PID 1 of the host ──exec──▶ the same test, in the host
//	     │                                              reaps; ends when the pipe to the test binary closes
//	     └── afterwards: no cgroup of this host's containers may be left
//
// A host has lo up with 192.0.2.53 (the address in its resolv.conf, where nobody answers until a test starts a server), a
// /run and a /sys of its own, an /etc that can be changed freely (an overlay), and a pair of roots for one installation
// of ctr on a file system that can hold the upper folders of overlays. It has no way out: Outside makes neighbours.
// The cgroups are the machine's.
//
// The package owns, for the time of a test, one folder below /var/tmp (or $CTR_TEST_DIR).
package testhost
