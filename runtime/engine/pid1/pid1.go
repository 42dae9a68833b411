// Package pid1 is the reaping init of `--init`: what runs as the container's first process instead of the program.
//
// The file that runs it is the init program, bound read-only at Path, for nothing else is certain to be there. A constructor in
// C recognises the name that it was started by and never comes back, so the Go runtime does not start: the process is a loop
// around sigwaitinfo(2) with some hundred KiB of memory of its own.
//
// It starts the program in a process group of its own (the terminal's, if there is one), passes every signal on to it, reaps
// all that is orphaned, and exits as the program did.
package pid1

// Path is where the init is found in a container, and the name by which it knows itself.
const Path = "/dev/init"

// Args returns the init's argv that leads to the program's.
func Args(program []string) []string { return append([]string{Path, "--"}, program...) }
