package logs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var moment = time.Date(2026, 11, 23, 15, 4, 5, 120, time.FixedZone("", 3600))

// newWriter opens a log whose entries are a second apart.
func newWriter(t *testing.T, path string, o Options) *Writer {
	t.Helper()
	w, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	w.now = func() time.Time {
		calls++
		return moment.Add(time.Duration(calls-1) * time.Second)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func write(t *testing.T, w *Writer, s Stream, text string) {
	t.Helper()
	if err := w.Write(s, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// collect reads a log as text, each entry as "STREAM:LINE".
func collect(t *testing.T, path string, o ReadOptions) []string {
	t.Helper()
	var got []string
	err := Read(t.Context(), path, o, func(e Entry) error {
		got = append(got, e.Stream.String()+":"+string(e.Line))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

var everything = ReadOptions{Tail: -1, Stdout: true, Stderr: true}

func TestFormatIsDockers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := newWriter(t, path, Options{})
	write(t, w, Stdout, "hello\n\"q\" \\ <b>&\t\r\x01\x7f \xff é \u2028\n")
	write(t, w, Stderr, "half")
	write(t, w, Stderr, " whole\nrest")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"log":"hello\n","stream":"stdout","time":"2026-11-23T14:04:05.00000012Z"}
{"log":"\"q\" \\ \u003cb\u003e\u0026\u0009\r\u0001` + "\x7f" + ` \ufffd é \u2028\n","stream":"stdout","time":"2026-11-23T14:04:05.00000012Z"}
{"log":"half whole\n","stream":"stderr","time":"2026-11-23T14:04:07.00000012Z"}
{"log":"rest","stream":"stderr","time":"2026-11-23T14:04:08.00000012Z"}
`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestLongLinesAreCutAsDockerCutsThem(t *testing.T) {
	for _, size := range []int{maxLine - 1, maxLine, maxLine + 1, 3*maxLine + 5} {
		for _, chunk := range []int{1000, 32 << 10, 1 << 20} {
			path := filepath.Join(t.TempDir(), "log")
			w := newWriter(t, path, Options{})
			text := []byte(strings.Repeat("x", size) + "\nnext\n")
			for len(text) > 0 {
				n := min(chunk, len(text))
				write(t, w, Stdout, string(text[:n]))
				text = text[n:]
			}
			var lengths []int
			var times []time.Time
			err := Read(t.Context(), path, everything, func(e Entry) error {
				lengths = append(lengths, len(e.Line))
				times = append(times, e.Time)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			var want []int
			for left := size + 1; left > 0; left -= maxLine {
				want = append(want, min(left, maxLine))
			}
			if fmt.Sprint(lengths) != fmt.Sprint(append(want, len("next\n"))) {
				t.Errorf("size %d, chunk %d: entries of %v bytes, want %v", size, chunk, lengths, want)
			}
			for _, at := range times[:len(times)-1] {
				if !at.Equal(times[0]) {
					t.Errorf("size %d, chunk %d: parts of one line have different times", size, chunk)
				}
			}
		}
	}
}

func TestPendingMovesToTheNextWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	a := newWriter(t, path, Options{})
	write(t, a, Stdout, "one\ntw")
	rest := a.Pending(Stdout)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	b := newWriter(t, path, Options{})
	write(t, b, Stdout, string(rest))
	write(t, b, Stdout, "o\n")
	got := collect(t, path, everything)
	if want := []string{"stdout:one\n", "stdout:two\n"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOpenMendsACutLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(`{"log":"lost in a cra`), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWriter(t, path, Options{})
	write(t, w, Stdout, "after\n")
	if got := collect(t, path, everything); fmt.Sprint(got) != "[stdout:after\n]" {
		t.Errorf("got %q", got)
	}
}

func TestRotationLosesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	w := newWriter(t, path, Options{MaxSize: 1000, MaxFile: 5})
	var want []string
	for i := range 40 {
		line := fmt.Sprintf("line %d\n", i)
		write(t, w, Stdout, line)
		want = append(want, "stdout:"+line)
	}
	if got := collect(t, path, everything); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	o := everything
	o.Tail = 25 // more than two files
	if got := collect(t, path, o); fmt.Sprint(got) != fmt.Sprint(want[15:]) {
		t.Errorf("tail: got %q\nwant %q", got, want[15:])
	}
	for i := range 400 {
		write(t, w, Stdout, fmt.Sprintf("more %d\n", i))
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 5 {
		t.Errorf("%d files, want 5", len(files))
	}
	for _, f := range files {
		if info, _ := f.Info(); info.Size() > 1100 {
			t.Errorf("%s has %d bytes", f.Name(), info.Size())
		}
	}
}

func TestOneBoundedFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	w := newWriter(t, path, Options{MaxSize: 500})
	for i := range 100 {
		write(t, w, Stdout, fmt.Sprintf("line %d\n", i))
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("%d files, want 1", len(files))
	}
	got := collect(t, path, everything)
	if len(got) == 0 || got[len(got)-1] != "stdout:line 99\n" {
		t.Errorf("got %q", got)
	}
}

func TestSelection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := newWriter(t, path, Options{})
	for i := range 6 {
		write(t, w, Stream(i%2), fmt.Sprintf("%d\n", i))
	}
	at := func(s int) time.Time { return moment.Add(time.Duration(s) * time.Second) }
	for _, test := range []struct {
		name string
		o    ReadOptions
		want string
	}{
		{"all", everything, "0 1 2 3 4 5"},
		{"stdout", ReadOptions{Tail: -1, Stdout: true}, "0 2 4"},
		{"stderr", ReadOptions{Tail: -1, Stderr: true}, "1 3 5"},
		{"tail 0", ReadOptions{Stdout: true, Stderr: true}, ""},
		{"tail 2", ReadOptions{Tail: 2, Stdout: true, Stderr: true}, "4 5"},
		{"tail 9", ReadOptions{Tail: 9, Stdout: true, Stderr: true}, "0 1 2 3 4 5"},
		{"since", ReadOptions{Tail: -1, Since: at(4), Stdout: true, Stderr: true}, "4 5"},
		{"until", ReadOptions{Tail: -1, Until: at(1), Stdout: true, Stderr: true}, "0 1"},
		{"between", ReadOptions{Tail: -1, Since: at(1), Until: at(3), Stdout: true, Stderr: true}, "1 2 3"},
	} {
		var got []string
		for _, s := range collect(t, path, test.o) {
			_, line, _ := strings.Cut(s, ":")
			got = append(got, strings.TrimSpace(line))
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: got %v, want %s", test.name, got, test.want)
		}
	}
}

func TestTailReadsNoMoreThanItNeeds(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// A sparse gigabyte in front: reading it would take seconds.
	const front = 1 << 30
	if _, err := f.WriteAt([]byte("\na\nb\nc\nunfinished"), front); err != nil {
		t.Fatal(err)
	}
	info, _ := f.Stat()
	offset, lines, err := seekTail(f, info.Size(), 2)
	if err != nil || lines != 2 || offset != front+int64(len("\na\n")) {
		t.Errorf("offset %d, %d lines, %v", offset, lines, err)
	}
}

func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := newWriter(t, path, Options{MaxSize: 2000, MaxFile: 3})
	write(t, w, Stdout, "before\n")
	ended := make(chan struct{})
	lines := make(chan string)
	done := make(chan error, 1)
	go func() {
		o := everything
		o.Follow = ended
		done <- Read(t.Context(), path, o, func(e Entry) error {
			lines <- string(e.Line)
			return nil
		})
		close(lines)
	}()
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-lines:
			if got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no %q", want)
		}
	}
	expect("before\n")
	for i := range 300 { // some 12 rotations
		write(t, w, Stdout, fmt.Sprintf("line %d\n", i))
		expect(fmt.Sprintf("line %d\n", i))
	}
	write(t, w, Stdout, "last\n")
	close(ended)
	expect("last\n")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestFollowALogThatComesLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	ended := make(chan struct{})
	o := everything
	o.Follow = ended
	got := make(chan string, 1)
	go func() {
		_ = Read(t.Context(), path, o, func(e Entry) error {
			got <- string(e.Line)
			return ErrStop
		})
		close(got)
	}()
	w := newWriter(t, path, Options{})
	write(t, w, Stdout, "here\n")
	if line := <-got; line != "here\n" {
		t.Errorf("got %q", line)
	}
}

func TestReadEndsWithItsContextAndItsCaller(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := newWriter(t, path, Options{})
	write(t, w, Stdout, "a\nb\n")
	o := everything
	o.Follow = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	err := Read(ctx, path, o, func(e Entry) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
	broken := errors.New("broken pipe")
	if err := Read(t.Context(), path, everything, func(Entry) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("after an error: %v", err)
	}
}

func TestFullDiskLeavesWholeEntries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := newWriter(t, path, Options{})
	write(t, w, Stdout, "good\n")
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	good := w.file
	w.file = full
	if err := w.Write(Stdout, []byte("lost\n")); err == nil {
		t.Error("no error on a full disk")
	}
	if n, err := w.Stream(Stdout).Write([]byte("lost\n")); n != 5 || err != nil {
		t.Errorf("the program's output would stop: %d, %v", n, err)
	}
	w.file = good
	full.Close()
	write(t, w, Stdout, "again\n")
	if got := collect(t, path, everything); fmt.Sprint(got) != "[stdout:good\n stdout:again\n]" {
		t.Errorf("got %q", got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"log":"a\n","stream":"stderr","time":"2026-11-23T14:04:05.00000012Z"}`))
	f.Add([]byte(` { "time" : "2026-11-23T14:04:05Z" , "attrs" : {"a":[1,null,{"b":"c"}]} , "log" : "\u00e9\ud83d\ude00\ud83d\/" } `))
	f.Add([]byte(`{"log":"`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var e Entry
		if _, err := decode(line, nil, &e); err != nil {
			return
		}
		// It may take more than JSON allows (control characters, a member twice); what is JSON it must read as everybody does.
		var want struct {
			Log  *string   `json:"log"`
			Time time.Time `json:"time"`
		}
		members := map[string]json.RawMessage{}
		if json.Unmarshal(line, &members) != nil || !utf8.Valid(line) {
			return
		}
		if json.Unmarshal(members["log"], &want.Log) != nil || want.Log == nil || json.Unmarshal(members["time"], &want.Time) != nil {
			return
		}
		if got := string(e.Line); got != *want.Log {
			t.Errorf("text %q, want %q", got, *want.Log)
		}
		if !e.Time.Equal(want.Time) {
			t.Errorf("time %v, want %v", e.Time, want.Time)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("a\"\\\n\x00\xff\u2029<é"))
	f.Fuzz(func(t *testing.T, text []byte) {
		line := appendEntry(nil, text, true, appendTail(nil, Stderr, "", moment))
		var std struct{ Log, Stream string }
		if err := json.Unmarshal(line, &std); err != nil {
			t.Fatalf("%q is no JSON: %v", line, err)
		}
		var e Entry
		if _, err := decode(bytes.TrimSuffix(line, []byte{'\n'}), nil, &e); err != nil {
			t.Fatal(err)
		}
		want := string([]rune(string(text))) + "\n" // each byte that is no UTF-8 is one U+FFFD
		if string(e.Line) != want || std.Log != want || e.Stream != Stderr || !e.Time.Equal(moment) {
			t.Errorf("%q became %q (encoding/json reads %q)", text, e.Line, std.Log)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	for _, line := range []string{"y\n", strings.Repeat("an access log line of usual length ", 4) + "\n"} {
		b.Run(fmt.Sprint(len(line)), func(b *testing.B) {
			w, err := Open("/dev/null", Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer w.Close()
			chunk := []byte(strings.Repeat(line, (64<<10)/len(line)))
			b.SetBytes(int64(len(chunk)))
			b.ReportAllocs()
			for b.Loop() {
				_ = w.Write(Stdout, chunk)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	path := filepath.Join(b.TempDir(), "log")
	w, err := Open(path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	_ = w.Write(Stdout, []byte(strings.Repeat("an access log line of usual length\n", 100000)))
	w.Close()
	info, _ := os.Stat(path)
	b.SetBytes(info.Size())
	b.ReportAllocs()
	for b.Loop() {
		if err := Read(context.Background(), path, everything, func(Entry) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// TestAttributes finds what entries carry with them, whatever stands around it.
func TestAttributes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	w, err := Open(path, Options{Attrs: `{"a":"}\"x"}`})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(Stdout, []byte("one\n")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var got string
	err = Read(t.Context(), path, ReadOptions{Tail: -1, Stdout: true}, func(e Entry) error {
		got += string(e.Line) + string(e.Attrs)
		return nil
	})
	if want := "one\n" + `{"a":"}\"x"}`; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}
