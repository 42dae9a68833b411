// Package events keeps what has happened in one installation since the machine was started, for `ctr events`.
//
// It owns the folder <run root>/events:
//
//	current     one event a line, as JSON; whoever does something appends one line (O_APPEND) under a shared flock(2)
//	previous    what was current before it had 4 MiB; replaced by rename under the exclusive flock of the file that goes
//
// So the journal never takes more than 8 MiB, and no process has to run for it: commands and monitors write, readers are told
// by inotify(7). An event that cannot be written is lost, and never an error of what happened.
package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"ctr/internal/durable"
)

const (
	currentFile  = "current"
	previousFile = "previous"
	maxFile      = 4 << 20 // bytes
)

// Type is what kind of thing an event is about.
type Type string

// The types.
const (
	Container Type = "container"
	Image     Type = "image"
	Network   Type = "network"
	Volume    Type = "volume"
)

// Event is one event, in the JSON of Docker's API.
type Event struct {
	Status   string `json:"status,omitempty"` // containers and images: the same as Action, for old readers
	ID       string `json:"id,omitempty"`
	From     string `json:"from,omitempty"` // the image
	Type     Type   `json:"Type"`
	Action   string `json:"Action"`
	Actor    Actor  `json:"Actor"`
	Scope    string `json:"scope"`
	Time     int64  `json:"time"` // seconds since 1970
	TimeNano int64  `json:"timeNano"`
}

// Actor is what an event is about.
type Actor struct {
	ID         string            `json:"ID"`
	Attributes map[string]string `json:"Attributes"`
}

// When is the time of the event.
func (e Event) When() time.Time { return time.Unix(0, e.TimeNano) }

// Journal is the events of one installation.
type Journal struct{ dir string }

// Open opens the journal in <run root>/events, without looking at the disk.
func Open(dir string) *Journal { return &Journal{dir: dir} }

// Write adds an event, which gets the present time.
func (j *Journal) Write(t Type, action, id string, attributes map[string]string) error {
	now := time.Now()
	e := Event{
		Type: t, Action: action, Actor: Actor{ID: id, Attributes: attributes}, Scope: "local", Time: now.Unix(), TimeNano: now.UnixNano(),
	}
	if t == Container || t == Image {
		e.Status, e.ID, e.From = action, id, attributes["image"]
	}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	f, size, err := j.lock()
	if err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	f.Close() // with the lock: the one who rotates it waits no longer
	if size > maxFile {
		err = errors.Join(err, j.rotate())
	}
	return err
}

// lock opens the current file for a line, and keeps it from being rotated until it is closed.
func (j *Journal) lock() (*os.File, int64, error) {
	path := filepath.Join(j.dir, currentFile)
	for {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if errors.Is(err, os.ErrNotExist) {
			if err := os.Mkdir(j.dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
				return nil, 0, err
			}
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		info, same, err := lockFile(f, path, unix.LOCK_SH)
		if err == nil && same {
			return f, info.Size(), nil
		}
		f.Close()
		if err != nil {
			return nil, 0, err
		}
	}
}

// lockFile takes the lock of an open file. same tells whether the path still leads to it.
func lockFile(f *os.File, path string, how int) (info os.FileInfo, same bool, err error) {
	if err := durable.Flock(int(f.Fd()), how); err != nil {
		return nil, false, err
	}
	if info, err = f.Stat(); err != nil {
		return nil, false, err
	}
	now, err := os.Stat(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, false, err
	}
	return info, err == nil && os.SameFile(info, now), nil
}

// rotate makes the current file the previous one, once nobody writes to it any more.
func (j *Journal) rotate() error {
	path := filepath.Join(j.dir, currentFile)
	f, err := os.Open(path)
	if err != nil {
		return nil // somebody else has just done it
	}
	defer f.Close()
	info, same, err := lockFile(f, path, unix.LOCK_EX)
	if err != nil || !same || info.Size() <= maxFile {
		return err
	}
	return os.Rename(path, filepath.Join(j.dir, previousFile))
}

// parse reads the lines of data that are whole, and calls f for each event. It returns what is left.
func parse(data []byte, f func(Event) error) ([]byte, error) {
	for {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			return data, nil
		}
		var e Event
		// A line that was cut by a full disk is lost, and hides no other.
		if err := json.Unmarshal(data[:i], &e); err == nil {
			if err := f(e); err != nil {
				return nil, err
			}
		}
		data = data[i+1:]
	}
}
