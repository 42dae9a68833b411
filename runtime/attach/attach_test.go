package attach

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// keeper is the other side of a client in a test.
func keeper(t *testing.T, s Streams) (*Client, *Conn) {
	t.Helper()
	ours, file, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := FromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	c, err := NewClient(ours, s)
	if err != nil {
		t.Fatal(err)
	}
	kind, _, err := theirs.Receive()
	if err != nil || kind != Hello {
		t.Fatalf("first frame = %q, %v, want hello", kind, err)
	}
	return c, theirs
}

func TestOutputThenExit(t *testing.T) {
	var out, errs bytes.Buffer
	c, k := keeper(t, Streams{Stdout: &out, Stderr: &errs})
	go func() {
		k.Send(Stdout, []byte("one"))
		k.Send(Stderr, []byte("two"))
		k.Send('?', []byte("a newer keeper's frame"))
		k.Send(Stdout, []byte("three"))
		k.SendExit(Result{ExitCode: 137})
	}()
	r, err := c.Wait()
	if err != nil || r.ExitCode != 137 || r.Detached {
		t.Errorf("Wait = %+v, %v", r, err)
	}
	if out.String() != "onethree" || errs.String() != "two" {
		t.Errorf("stdout %q, stderr %q", &out, &errs)
	}
}

func TestExitUnknown(t *testing.T) {
	c, k := keeper(t, Streams{})
	go k.SendExit(Result{ExitCode: 255, Unknown: "nobody saw it"})
	if r, err := c.Wait(); err != nil || r != (Result{ExitCode: 255, Unknown: "nobody saw it"}) {
		t.Errorf("Wait = %+v, %v", r, err)
	}
}

func TestKeeperKilled(t *testing.T) {
	c, k := keeper(t, Streams{})
	k.Close()
	if _, err := c.Wait(); !errors.Is(err, ErrKeeperGone) {
		t.Errorf("Wait = %v, want ErrKeeperGone", err)
	}
}

func TestStdinAndHalfClose(t *testing.T) {
	in := strings.Repeat("x", 3*MaxPayload+7)
	c, k := keeper(t, Streams{Stdin: strings.NewReader(in)})
	go c.Wait()
	var got strings.Builder
	for {
		kind, p, err := k.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if kind == StdinEOF {
			break
		}
		got.Write(p)
	}
	if got.String() != in {
		t.Errorf("got %d bytes, want %d", got.Len(), len(in))
	}
	k.SendExit(Result{ExitCode: 0})
}

func TestDetach(t *testing.T) {
	r, w := io.Pipe()
	c, k := keeper(t, Streams{Stdin: r, DetachKeys: []byte{16, 17}})
	go w.Write([]byte("ls\n\x10\x11"))
	got, err := c.Wait()
	if err != nil || !got.Detached {
		t.Errorf("Wait = %+v, %v, want detached", got, err)
	}
	if kind, p, err := k.Receive(); kind != Stdin || string(p) != "ls\n" {
		t.Errorf("frame %q %q, %v", kind, p, err)
	}
	if _, _, err := k.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("after detaching: %v, want EOF", err)
	}
}

func TestResize(t *testing.T) {
	sizes := make(chan Size, 1)
	sizes <- Size{Width: 100, Height: 40}
	c, k := keeper(t, Streams{Resize: sizes})
	go c.Wait()
	kind, p, err := k.Receive()
	if err != nil || kind != Resize {
		t.Fatalf("frame %q, %v", kind, err)
	}
	if s, ok := DecodeSize(p); !ok || s != (Size{100, 40}) {
		t.Errorf("size %v, %v", s, ok)
	}
	k.SendExit(Result{ExitCode: 0})
}

func TestDetacher(t *testing.T) {
	for _, tt := range []struct {
		name, keys string
		typed      []string
		want       string
		detached   bool
	}{
		{"none", "", []string{"\x10\x11"}, "\x10\x11", false},
		{"at once", "\x10\x11", []string{"a\x10\x11b"}, "a", true},
		{"in two reads", "\x10\x11", []string{"a\x10", "\x11"}, "a", true},
		{"half is passed on", "\x10\x11", []string{"\x10", "x"}, "\x10x", false},
		{"first key twice", "\x10\x11", []string{"\x10\x10\x11"}, "\x10", true},
		{"one key", "q", []string{"abq"}, "ab", true},
		{"three keys, restart", "abc", []string{"ababc"}, "ab", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := detacher{keys: []byte(tt.keys)}
			var got []byte
			detached := false
			for _, p := range tt.typed {
				out, done := d.filter([]byte(p))
				got = append(got, out...)
				detached = detached || done
			}
			if string(got) != tt.want || detached != tt.detached {
				t.Errorf("sent %q, detached %v; want %q, %v", got, detached, tt.want, tt.detached)
			}
		})
	}
}

func TestListenReplacesADeadKeepersSocket(t *testing.T) {
	path := t.TempDir() + "/" + strings.Repeat("long", 20) + ".sock" // longer than a socket's address may be
	for range 2 {
		l, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if c, err := l.AcceptUnix(); err == nil {
				conn := Accepted(c)
				conn.Receive()
				conn.SendExit(Result{ExitCode: 1})
				conn.Close()
			}
		}()
		conn, err := Dial(path)
		if err != nil {
			t.Fatal(err)
		}
		c, err := NewClient(conn, Streams{})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := c.Wait(); err != nil || r.ExitCode != 1 {
			t.Errorf("Wait = %+v, %v", r, err)
		}
		l.Close()
	}
}

func FuzzDetacher(f *testing.F) {
	f.Add([]byte("\x10\x11"), []byte("ls\x10x\x10\x11"))
	f.Fuzz(func(t *testing.T, keys, typed []byte) {
		d := detacher{keys: keys}
		out, detached := d.filter(typed)
		want, _, found := bytes.Cut(typed, keys)
		if len(keys) > 0 && detached != found && !selfOverlapping(keys) {
			t.Errorf("keys %q typed %q: detached %v, want %v", keys, typed, detached, found)
		}
		if detached && !selfOverlapping(keys) && !bytes.Equal(out, want) {
			t.Errorf("keys %q typed %q: sent %q, want %q", keys, typed, out, want)
		}
	})
}

// selfOverlapping tells whether a prefix of keys is also a suffix of another: then the matcher, which like Docker's looks at
// each byte once, may pass over a match.
func selfOverlapping(keys []byte) bool {
	for i := 1; i < len(keys); i++ {
		if keys[i] == keys[0] {
			return true
		}
	}
	return false
}
