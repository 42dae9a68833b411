package userns

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"ctr/internal/idmap"
)

// Namespaces are open namespaces. The caller closes them.
type Namespaces struct {
	User *os.File
	Net  *os.File // one that belongs to User; nil: not asked for
}

// New makes a user namespace with the IDs of a map, and a network namespace in it if withNet is set.
//
// A network namespace belongs to the user namespace in which it is made, and only who has power there may mount its sysfs or
// change its links: it cannot be made first and given away.
func New(ids idmap.Map, withNet bool) (n Namespaces, err error) {
	flags := uintptr(unix.CLONE_NEWUSER)
	if withNet {
		flags |= unix.CLONE_NEWNET
	}
	// A process is needed, since no thread of several may change its user namespace. It is stopped before its first
	// instruction (PTRACE_TRACEME), and so can be this program itself.
	p, err := os.StartProcess("/proc/self/exe", []string{"ctr-userns"}, &os.ProcAttr{Env: []string{}, Sys: &syscall.SysProcAttr{
		Cloneflags: flags, UidMappings: idmap.Sys(ids.UIDs), GidMappings: idmap.Sys(ids.GIDs), GidMappingsEnableSetgroups: true,
		Ptrace: true,
	}})
	if err != nil {
		return n, fmt.Errorf("make user namespace: %w", explain(err))
	}
	defer func() {
		if err != nil {
			n.Close()
		}
		_ = p.Kill() // it is ours, and stopped
		_, _ = p.Wait()
	}()
	dir := "/proc/" + strconv.Itoa(p.Pid) + "/ns/"
	if n.User, err = os.Open(dir + "user"); err != nil {
		return n, fmt.Errorf("make user namespace: %w", err)
	}
	if withNet {
		if n.Net, err = os.Open(dir + "net"); err != nil {
			return n, fmt.Errorf("make user namespace: %w", err)
		}
	}
	return n, nil
}

func explain(err error) error {
	switch {
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w: does this kernel have user namespaces (CONFIG_USER_NS)?", err)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		return fmt.Errorf("%w: /proc/sys/user/max_user_namespaces is reached", err)
	}
	return err
}

// OwnerOf opens the user namespace that a namespace belongs to.
func OwnerOf(ns *os.File) (*os.File, error) {
	fd, err := unix.IoctlRetInt(int(ns.Fd()), unix.NS_GET_USERNS)
	if err != nil {
		return nil, fmt.Errorf("open owner of namespace: %w", os.NewSyscallError("ioctl", err))
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "user namespace"), nil
}

// Close closes what is open.
func (n Namespaces) Close() {
	for _, f := range []*os.File{n.User, n.Net} {
		if f != nil {
			f.Close()
		}
	}
}
