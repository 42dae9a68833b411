package lifecycle

import (
	"fmt"
	"io"
	"os"
)

// drainName is argv[0] of the process that keeps the terminal of an `exec -t` that its user has left: without one, the kernel would hang up
// on the program (tty_ioctl(4)). There is no daemon to do it.
const drainName = "ctr-drain"

// DrainMain reads a terminal until its last program has ended, and does not return, if this process was started for that; else
// it does nothing.
func DrainMain() {
	if os.Args[0] != drainName {
		return
	}
	io.Copy(io.Discard, os.NewFile(3, "pty")) //nolint:errcheck // it ends with EIO
	os.Exit(0)
}

// keepTerminal leaves a terminal to a process of its own. The caller closes its own descriptor.
func keepTerminal(pty *os.File) error {
	cmd := outliving(drainName, pty)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("keep terminal: %w", err)
	}
	return cmd.Process.Release()
}
