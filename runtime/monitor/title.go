package monitor

import (
	"os"
	"strings"
	"unsafe"
)

// retitle makes ps(1) show the command line that the monitor has in its later lives. The kernel shows what is in the memory that
// held the arguments (proc_pid_cmdline(5)), and package standby has made that large enough for all but the longest roots; for
// these, the process keeps the name of one that waits.
func retitle(args ...string) {
	old := os.Args
	os.Args = make([]string, len(old))
	size := 0
	for i, arg := range old {
		os.Args[i] = strings.Clone(arg)
		size += len(arg) + 1
	}
	title := strings.Join(args, "\x00") + "\x00"
	if len(old) == 0 || len(old[0]) == 0 || len(title) > size {
		return
	}
	// The runtime's strings are the arguments themselves, one after the other.
	memory := unsafe.Slice(unsafe.StringData(old[0]), size)
	clear(memory[copy(memory, title):])
}
