package logs

import (
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// pollEvery is how often a reader looks by itself when the kernel gives it no inotify instance (128 per user by default).
const pollEvery = 100 * time.Millisecond

// watch tells when something happens in the folder of a log: a write, a rotation.
type watch struct {
	changed <-chan struct{} // holds at most one note
	file    *os.File        // the inotify instance; nil: polling
	ticker  *time.Ticker
	done    chan struct{}
}

// newWatch watches the folder of the log at path. The caller closes it.
func newWatch(path string) *watch {
	changed := make(chan struct{}, 1)
	w := &watch{changed: changed, done: make(chan struct{})}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err == nil {
		const events = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_MOVED_TO
		if _, err = unix.InotifyAddWatch(fd, filepath.Dir(path), events); err != nil {
			unix.Close(fd)
		}
	}
	note := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	if err != nil {
		w.ticker = time.NewTicker(pollEvery)
		go func() {
			for {
				select {
				case <-w.ticker.C:
					note()
				case <-w.done:
					return
				}
			}
		}()
		return w
	}
	w.file = os.NewFile(uintptr(fd), "inotify")
	go func() {
		// What happened does not matter, only that something did.
		buf := make([]byte, 64*(unix.SizeofInotifyEvent+unix.NAME_MAX+1))
		for {
			if n, err := w.file.Read(buf); n <= 0 || err != nil {
				return
			}
			note()
		}
	}()
	return w
}

func (w *watch) close() {
	close(w.done)
	if w.ticker != nil {
		w.ticker.Stop()
	}
	if w.file != nil {
		w.file.Close()
	}
}
