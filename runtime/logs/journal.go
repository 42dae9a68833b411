package logs

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
)

// JournalSocket is where journald takes entries (systemd's "Native Journal Protocol").
const JournalSocket = "/run/systemd/journal/socket"

// ErrNoJournal is returned when no journald runs on this host.
var ErrNoJournal = errors.New("logging driver journald: journald does not run on this host")

// JournalOptions say whose output it is.
type JournalOptions struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Image string `json:"image,omitempty"`
	Tag   string `json:"tag,omitempty"`   // empty: the short ID
	Extra string `json:"extra,omitempty"` // further fields, each NAME=value and a newline
}

// The priorities of syslog(3) that Docker gives the streams.
var journalPriorities = [...]string{Stdout: "6", Stderr: "3"}

// Journal writes output to journald, an entry for each line, with Docker's fields. It is safe for several goroutines.
type Journal struct {
	socket string
	fields [2][]byte // of every entry of a stream

	mu   sync.Mutex
	conn net.Conn
	part [2][]byte // the beginnings of lines
}

// OpenJournal connects to journald. It returns ErrNoJournal where there is none.
func OpenJournal(socket string, o JournalOptions) (*Journal, error) {
	j := &Journal{socket: socket}
	short := o.ID[:min(12, len(o.ID))]
	for stream, priority := range journalPriorities {
		for _, field := range [][2]string{
			{"PRIORITY", priority},
			{"CONTAINER_ID", short},
			{"CONTAINER_ID_FULL", o.ID},
			{"CONTAINER_NAME", o.Name},
			{"CONTAINER_TAG", cmp.Or(o.Tag, short)},
			{"SYSLOG_IDENTIFIER", cmp.Or(o.Tag, short)},
			{"IMAGE_NAME", o.Image},
		} {
			j.fields[stream] = append(j.fields[stream], field[0]+"="+field[1]+"\n"...)
		}
		j.fields[stream] = append(j.fields[stream], o.Extra...)
	}
	return j, j.connect()
}

func (j *Journal) connect() error {
	conn, err := net.Dial("unixgram", j.socket)
	if errors.Is(err, os.ErrNotExist) {
		return ErrNoJournal
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoJournal, err)
	}
	j.conn = conn
	return nil
}

// Write takes output of a stream. What has no end of line yet is kept for later, unless it is longer than a log line may be.
func (j *Journal) Write(s Stream, p []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var errs []error
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		if room := maxLine - len(j.part[s]); len(line) >= room {
			line, rest, ended = p[:room], p[room:], false
		}
		j.part[s], p = append(j.part[s], line...), rest
		if ended || len(j.part[s]) == maxLine {
			errs = append(errs, j.send(s, !ended))
		}
	}
	return errors.Join(errs...)
}

// send makes an entry of what is kept.
func (j *Journal) send(s Stream, partial bool) error {
	entry := bytes.Clone(j.fields[s])
	if partial {
		entry = append(entry, "CONTAINER_PARTIAL_MESSAGE=true\n"...)
	}
	entry = append(append(append(entry, "MESSAGE="...), j.part[s]...), '\n')
	j.part[s] = j.part[s][:0]
	_, err := j.conn.Write(entry)
	if err == nil {
		return nil
	}
	j.conn.Close() // journald was started again
	if err := j.connect(); err != nil {
		return err
	}
	_, err = j.conn.Write(entry)
	return err
}

// Pending returns the beginning of an unfinished line, as Writer's does.
func (j *Journal) Pending(s Stream) []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	text := j.part[s]
	j.part[s] = nil
	return text
}

// Close writes what is left, and disconnects.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var errs []error
	for _, s := range []Stream{Stdout, Stderr} {
		if len(j.part[s]) > 0 {
			errs = append(errs, j.send(s, false))
		}
	}
	return errors.Join(append(errs, j.conn.Close())...)
}
