package logs

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// journald is a socket that takes entries.
func journald(t *testing.T) (socket string, next func() string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "socket")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return socket, func() string {
		buf := make([]byte, 64<<10)
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
}

func TestJournalHasAnEntryForEachLine(t *testing.T) {
	socket, next := journald(t)
	j, err := OpenJournal(socket, JournalOptions{ID: strings.Repeat("ab", 32), Name: "web", Image: "busybox"})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []struct {
		s    Stream
		text string
	}{{Stdout, "one\ntw"}, {Stderr, "bad\n"}, {Stdout, "o\n\nrest"}} {
		if err := j.Write(w.s, []byte(w.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct{ priority, message string }{{"6", "one"}, {"3", "bad"}, {"6", "two"}, {"6", ""}, {"6", "rest"}} {
		entry := next()
		for _, field := range []string{
			"PRIORITY=" + want.priority, "CONTAINER_ID=abababababab", "CONTAINER_ID_FULL=" + strings.Repeat("ab", 32),
			"CONTAINER_NAME=web", "CONTAINER_TAG=abababababab", "IMAGE_NAME=busybox", "MESSAGE=" + want.message,
		} {
			if !strings.Contains("\n"+entry, "\n"+field+"\n") {
				t.Errorf("no field %q in entry %q", field, entry)
			}
		}
	}
}

func TestJournalMarksPartsOfLongLines(t *testing.T) {
	socket, next := journald(t)
	j, err := OpenJournal(socket, JournalOptions{ID: "a", Name: "web"})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Write(Stdout, []byte(strings.Repeat("x", maxLine)+"end\n")); err != nil {
		t.Fatal(err)
	}
	if first := next(); !strings.Contains(first, "CONTAINER_PARTIAL_MESSAGE=true\n") || !strings.Contains(first, "MESSAGE="+strings.Repeat("x", maxLine)+"\n") {
		t.Errorf("first part: %.200q", first)
	}
	if second := next(); strings.Contains(second, "PARTIAL") || !strings.Contains(second, "MESSAGE=end\n") {
		t.Errorf("second part: %q", second)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestJournalSaysThatThereIsNone(t *testing.T) {
	if _, err := OpenJournal(filepath.Join(t.TempDir(), "socket"), JournalOptions{}); !errors.Is(err, ErrNoJournal) {
		t.Errorf("%v, want %v", err, ErrNoJournal)
	}
}
