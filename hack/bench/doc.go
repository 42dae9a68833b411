// Command bench compares whole commands of ctr with those of runc, which starts a bare process without any network, and of
// docker and podman where an engine answers. The contestants of a row take turns, so that a busy machine is busy for all of
// them alike; what counts is the ratio of their medians in one run.
//
// It runs in a network and a mount namespace of its own, with roots of its own in a temporary folder, and writes
// hack/bench/results.md; with -row, only that row's part of it.
package main
