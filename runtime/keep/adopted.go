package keep

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ctr/internal/proc"
)

// ErrExitUnknown is returned by Reap when nobody knows how the program ended, with what a newer kernel would have told.
var ErrExitUnknown = errors.New("exit code unknown: its monitor was killed")

// Adopted is what a keeper has of an init that another process has started, and was killed: it is no child, so that neither
// waitid(2) nor wait4(2) know it.
type Adopted struct {
	Pidfd *os.File // nil: the init had ended before
}

// adopt returns what a state says; nil of 0.
func adopt(fd int) *Adopted {
	if fd == 0 {
		return nil
	}
	return &Adopted{Pidfd: openFD(fd)}
}

// fd is what a state says of it: -1 of an init that had ended before, 0 of one that is a child.
func (a *Adopted) fd() int {
	if a == nil {
		return 0
	}
	return fileFD(a.Pidfd)
}

// wait returns when the init has ended.
func (a *Adopted) wait() error {
	if a.Pidfd == nil {
		return nil
	}
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fileFD(a.Pidfd)), Events: unix.POLLIN}}, -1)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("wait for init: %w", os.NewSyscallError("poll", err))
		}
		return nil
	}
}

// status tells how the init ended; otherwise it returns ErrExitUnknown.
func (a *Adopted) status(init proc.ID) (unix.WaitStatus, error) {
	if a.Pidfd == nil {
		return 0, ErrExitUnknown
	}
	status, known := init.ExitStatus(a.Pidfd)
	if !known {
		return 0, fmt.Errorf("%w, and Linux before 6.15 does not tell it", ErrExitUnknown)
	}
	return status, nil
}

func (a *Adopted) close() {
	if a != nil && a.Pidfd != nil {
		a.Pidfd.Close()
	}
}
