package names

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// These are the system calls of a look-up. None waits for anybody: they look at processes, and at folders of the run root, in
// memory or, where that is on a disk, in its cache. So they are made raw. Those of package unix tell Go's scheduler first, and
// the first one after a rest wakes a thread that looks on, every 20 microseconds (runtime.sysmon): a sixth of the CPU of a busy
// resolver. They make no copies either.

// openat opens a folder. The path ends with a zero byte.
func openat(dir int, path []byte) (int, unix.Errno) {
	for {
		fd, _, errno := unix.RawSyscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&path[0])),
			unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0, 0, 0)
		if errno != unix.EINTR {
			return int(fd), errno
		}
	}
}

func closeFolder(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// getdents reads what is left of a folder, 0 bytes at its end.
func getdents(fd int, buf []byte) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_GETDENTS64, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// readlinkat reads a symbolic link. The path ends with a zero byte.
func readlinkat(dir int, path, text []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(&path[0])),
		uintptr(unsafe.Pointer(&text[0])), uintptr(len(text)), 0, 0)
	return int(n), errno
}

// readable tells whether a descriptor can be read now.
func readable(fd uintptr) (bool, unix.Errno) {
	for {
		files, now := unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}, unix.Timespec{}
		n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&files)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
		if errno != unix.EINTR {
			return n > 0, errno
		}
	}
}
